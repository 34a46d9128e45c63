public import EPModel
internal import Glibc

extension Calibration {
  /// How well one table's fit meets its rows.
  public struct Residuals: Hashable, Sendable {
    /// The table.
    public var key: Key
    /// Rows.
    public var rows: Int
    /// The fit.
    public var fit: RooflineFit
    /// Median of |fitted / measured - 1| of the fit alone.
    public var medianError: Double
    /// The same when each shape is left out and predicted from the others; nil with one shape.
    public var leftOutError: Double?
    /// The share of left-out measurements within the 90 % interval; nil with one shape.
    public var leftOutCoverage: Double?
  }

  /// How well each table's fit meets its rows, in the order of keys.
  public var residuals: [Residuals] {
    tables.keys.sorted().compactMap { key in
      guard let table = tables[key] else { return nil }
      let errors = table.curves.flatMap { $0.residuals.map { abs(exp(-$0) - 1) } }
      let leftOut = table.leftOut
      return Residuals(
        key: key, rows: table.rowCount, fit: table.fit, medianError: errors.median,
        leftOutError: leftOut?.error, leftOutCoverage: leftOut?.coverage)
    }
  }

  /// The residuals: efficiencies of the first and second resource, errors and shares of the shapes that
  /// were left out.
  private var table: ReportTable {
    residuals.table([
      .words("operation", "operation") { .text($0.key.operation) },
      .words("family", "family") { .text($0.key.family) },
      .words("format", "format") { .text($0.key.format.rawValue) },
      .figure("rows", "rows") { .count($0.rows) },
      .figure("latency (us)", "latency_seconds") { .number($0.fit.latency, 1, by: 1e6) },
      .figure("per step (ns)", "step_seconds") { .number($0.fit.perDepth, 2, by: 1e9) },
      .figure("first", "first_efficiency") { .number($0.fit.firstEfficiency, 2) },
      .figure("second", "second_efficiency") { .number($0.fit.secondEfficiency, 2) },
      .figure("median error", "median_error") { .share($0.medianError) },
      .figure("left out", "left_out_error") { $0.leftOutError.map { .share($0) } },
      .figure("covered", "left_out_coverage") { $0.leftOutCoverage.map { .share($0) } },
    ])
  }

  /// The residuals as a table for people, in Markdown.
  public var report: String { table.markdown }
  /// The residuals as plain data: times in seconds, errors and shares as fractions.
  public var document: Document { .object(["tables": table.document]) }
}

extension OperationTable {
  /// How well the table does without each of its curves in turn: the median error, and the share
  /// of measurements within the 90 % interval.
  var leftOut: (error: Double, coverage: Double)? {
    guard curves.count > 1 else { return nil }
    var errors: [Double] = []
    var covered = 0
    for index in curves.indices {
      let curve = curves[index]
      var rest = self
      rest.curves.remove(at: index)
      guard
        let surface = curve.kernels.first.flatMap({
          TimeSurface(of: $0.unit, in: rest, on: curve.hardware)
        })
      else { continue }
      for (kernel, residual) in zip(curve.kernels, curve.residuals) {
        let work = kernel.work(on: curve.hardware)
        let measured = exp(residual) * fit.seconds(for: work)
        let guess = rest.estimate(kernel, by: surface, on: curve.hardware)
        let seconds = max(guess.seconds, work.floor)
        errors.append(abs(seconds / measured - 1))
        if abs(log(seconds / measured)) <= guess.halfWidth { covered += 1 }
      }
    }
    return (errors.median, Double(covered) / Double(max(errors.count, 1)))
  }
}

extension [Double] {
  /// The middle value; 0 of none.
  package var median: Double {
    let ordered = sorted()
    return ordered.isEmpty ? 0 : (ordered[(count - 1) / 2] + ordered[count / 2]) / 2
  }
}

extension Double {
  /// An error in percent, with its sign.
  package var signedPercent: String {
    "\(self < 0 ? "-" : "+")\((Swift.abs(self) * 100).text(0)) %"
  }

  /// The number with so many digits after the point.
  package func text(_ digits: Int) -> String {
    guard isFinite else { return "-" }
    let scale = pow(10, Double(digits))
    let units = (Swift.abs(self) * scale).rounded()
    guard units < 9e15 else { return "\(self)" }
    let whole = String(Int(units))
    let sign = self < 0 && units > 0 ? "-" : ""
    if digits == 0 { return sign + whole }
    let padded = String(repeating: "0", count: Swift.max(0, digits + 1 - whole.count)) + whole
    return sign + padded.dropLast(digits) + "." + padded.suffix(digits)
  }
}
