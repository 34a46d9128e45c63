internal import EPModel
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

  /// The residuals as a table for people, in Markdown.
  public var report: String {
    var lines = [
      "| operation | family | format | rows | latency (us) | per step (ns) | first | second "
        + "| median error | left out | covered |",
      "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for line in residuals {
      let fit = line.fit
      lines.append(
        "| \(line.key.operation) | \(line.key.family) | \(line.key.format.rawValue) | \(line.rows) "
          + "| \((fit.latency * 1e6).text(1)) | \((fit.perDepth * 1e9).text(2)) "
          + "| \(fit.firstEfficiency.text(2)) | \(fit.secondEfficiency.text(2)) "
          + "| \((line.medianError * 100).text(0)) % "
          + "| \(line.leftOutError.map { ($0 * 100).text(0) + " %" } ?? "") "
          + "| \(line.leftOutCoverage.map { ($0 * 100).text(0) + " %" } ?? "") |")
    }
    return lines.joined(separator: "\n") + "\n"
  }
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
