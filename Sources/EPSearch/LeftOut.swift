public import EPCost
internal import EPModel
internal import Glibc

/// What predictions are worth that nothing of their own source was fitted to: its measured operations
/// are left out of the calibration, and constants are fitted anew without its layers and cases.
public struct LeftOut: Sendable {
  /// Whose cases, layers and operations.
  public var publisher: String
  /// Which of the cases it is about; those of all if it published none.
  public var system: String
  /// Rows of calibration files that are left out.
  public var measurements: Int
  /// The constants that become others.
  public var constants: [String]
  /// The cases as they are then predicted.
  public var rows: [ValidationReport.Row] = []

  /// The sources of cases that are predicted, each once, and those of operations alone.
  public static func all(_ cases: [MeasuredCase], _ operations: [Measurement]) -> [LeftOut] {
    var made: [LeftOut] = []
    func add(_ publisher: String, _ system: String) {
      if made.contains(where: { $0.publisher == publisher && $0.system == system }) { return }
      made.append(
        LeftOut(
          publisher: publisher, system: system,
          measurements: operations.filter { $0.source.publisher == publisher }.count,
          constants: []))
    }
    for one in cases where one.isThroughput { add(one.source.publisher, one.system) }
    let known = Set(made.map(\.publisher))
    for row in operations where !known.contains(row.source.publisher) {
      add(row.source.publisher, "")
    }
    return made
  }

  /// Whether a case is predicted anew.
  public func holds(_ one: MeasuredCase) -> Bool {
    one.isThroughput && (system.isEmpty || one.system == system)
  }

  /// Whether any prediction depends on it.
  var isUsed: Bool { measurements > 0 || !constants.isEmpty }

  /// The constants without what the source says of them. Those that layers were fitted to are fitted to
  /// the layers of others, as factors; those that cases were fitted to are dropped, as no others say
  /// anything of them.
  public mutating func assumptions(
    _ cases: [MeasuredCase], _ layers: [LayerComparison]
  ) -> CostModel.Assumptions {
    var made = CostModel.Assumptions()
    func isFitted(_ name: String) -> Bool {
      let fitted = cases.filter { $0.text("fit") == name }
      return !fitted.isEmpty && fitted.allSatisfy { holds($0) && !system.isEmpty }
    }
    /// Measured over predicted, by the geometric mean over the layers of others; nil where no layer of
    /// the source was fitted.
    func factor(_ part: OpEstimate.Part) -> Double? {
      let all = layers.filter { $0.part == part.rawValue }
      let others = all.filter { $0.source.publisher != publisher }
      if !all.contains(where: { $0.isFitted && $0.source.publisher == publisher })
        || others.isEmpty
      {
        return nil
      }
      let sum = others.reduce(0) { $0 + log($1.measured / $1.predicted.value) }
      return exp(sum / Double(others.count))
    }
    if isFitted("draft gap") { (made.draftGap, constants) = (0, constants + ["draft gap: none"]) }
    if isFitted("prefill gap") {
      (made.prefillGap, constants) = (0, constants + ["prefill gap: none"])
    }
    if let share = factor(.barrier) {
      made.dispatchBarrier *= share
      made.combineBarrier *= share
      constants.append("waits for peers x \(share.text(2))")
    }
    if let share = factor(.launch) {
      made.launchGap *= share
      constants.append("launch gap x \(share.text(2))")
    }
    if let share = factor(.other) {
      made.stream.perDepth *= share
      made.stream.secondEfficiency /= share
      constants.append("kernels that move memory x \(share.text(2))")
    }
    return made
  }

  /// A line for each source, with what the report says of the same cases.
  static func table(_ all: [LeftOut], beside report: ValidationReport) -> ReportTable {
    all.filter { !$0.rows.isEmpty }.map { one in
      (one: one, fitted: report.rows.filter { one.holds($0.measured) })
    }.table([
      .words("left out", "left_out") { line in
        .text(line.one.publisher + (line.one.system.isEmpty ? "" : ", \(line.one.system)"))
      },
      .figure("its rows of operations", "operation_rows") { .count($0.one.measurements) },
      .words("constants", "constants") {
        let all = $0.one.constants
        return .init(all.isEmpty ? "the same" : all.joined(separator: ", "), .texts(all))
      },
      .figure("cases", "cases") {
        .init(
          ($0.one.system.isEmpty ? "all " : "") + "\($0.one.rows.count)", .int($0.one.rows.count))
      },
      .figure("median error", "median_error") {
        $0.one.isUsed ? .share($0.one.rows.medianError, 1) : .init("nothing depends on it", nil)
      },
      .figure("as fitted", "median_error_as_fitted") { .share($0.fitted.medianError, 1) },
      .figure("covered by 90 %", "covered") {
        $0.one.isUsed ? .share($0.one.rows.coverage) : nil
      },
      .figure("as fitted", "covered_as_fitted") { .share($0.fitted.coverage) },
    ])
  }
}

extension MeasuredCase {
  var isThroughput: Bool { excluded.isEmpty && phase != nil && phase != .balancedness }
}
