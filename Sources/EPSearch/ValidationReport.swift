public import EPCost

/// Measured cases beside what the cost model says of them.
public struct ValidationReport: Sendable {
  /// What running a case on simulated devices comes to.
  public struct Simulated: Sendable {
    /// Tokens a second and device.
    public var rate: Double
    /// Mean over largest rows of expert ranks, as they were drawn.
    public var balancedness: Double
    /// Where experts lay.
    public var placement: Placement

    /// Where the experts of a case lie.
    public enum Placement: String, Sendable {
      /// Anywhere: all get the same.
      case even
      /// Where the planner puts them for their loads.
      case planned
      /// In order, as the case says.
      case inOrder = "in order"
    }

    /// Makes a result.
    public init(rate: Double, balancedness: Double, placement: Placement) {
      self.rate = rate
      self.balancedness = balancedness
      self.placement = placement
    }
  }

  /// A case and its prediction.
  public struct Row: Sendable {
    /// The case.
    public var measured: MeasuredCase
    /// What the model says.
    public var predicted: Figure
    /// What simulated devices come to; nil where they were not asked.
    public var simulated: Simulated?
    /// Makes a row.
    public init(measured: MeasuredCase, predicted: Figure, simulated: Simulated? = nil) {
      self.measured = measured
      self.predicted = predicted
      self.simulated = simulated
    }

    /// Predicted over measured, less one.
    public var error: Double { predicted.value / measured.value - 1 }
    /// Whether the measurement lies in the 90 % interval.
    public var isCovered: Bool {
      predicted.lower <= measured.value && measured.value <= predicted.upper
    }
  }

  /// Cases with predictions, in their order.
  public var rows: [Row]
  /// Cases without, with their reasons.
  public var excluded: [MeasuredCase]

  /// Parts of measured layers; none unless they were asked for.
  public var layers: [LayerComparison]

  /// What cases are predicted as without their sources; none unless they were asked for.
  public var leftOut: [LeftOut] = []

  /// Makes a report.
  public init(rows: [Row], excluded: [MeasuredCase], layers: [LayerComparison] = []) {
    self.rows = rows
    self.excluded = excluded
    self.layers = layers
  }

  var throughputs: [Row] { rows.filter { $0.measured.phase != .balancedness } }

  /// The tables, by name, as Markdown.
  public var sections: [(name: String, text: String)] {
    var sections = [
      ("targets", targetTable), ("summary", summary), ("orders", orderTable),
      ("throughput", throughputTable), ("balance", balanceTable), ("excluded", excludedTable),
    ]
    if !layers.isEmpty { sections.append(("layers", LayerComparison.table(layers))) }
    if !leftOut.isEmpty {
      sections.append(("left-out", LeftOut.table(leftOut, beside: self)))
    }
    if rows.contains(where: { $0.simulated != nil }) {
      sections.append(("simulation", simulationTable))
    }
    return sections
  }

  /// All throughputs, then those of each system, phase and kind of device.
  private var groups: [(name: String, rows: [Row])] {
    var groups = [(name: "all throughputs", rows: throughputs)]
    for row in throughputs {
      let name =
        "\(row.measured.system), \(row.measured.phase?.rawValue ?? "") on "
        + row.measured.hardware
      if let known = groups.firstIndex(where: { $0.name == name }) {
        groups[known].rows.append(row)
      } else {
        groups.append((name, [row]))
      }
    }
    return groups
  }

  static func percent(_ share: Double) -> String {
    "\(share < 0 ? "-" : "+")\((abs(share) * 100).text(0)) %"
  }

  private var summary: String {
    var text = "| cases | count | median error | mean of error | within 15 % | covered by 90 % |\n"
    text += "|---|--:|--:|--:|--:|--:|\n"
    func line(_ name: String, _ rows: [Row]) {
      if rows.isEmpty { return }
      let errors = rows.map { abs($0.error) }
      let count = Double(rows.count)
      let mean = rows.reduce(0) { $0 + $1.error } / count
      text += "| \(name) | \(rows.count) | \((errors.median * 100).text(1)) % "
      text += "| \(Self.percent(mean)) "
      text += "| \((Double(errors.filter { $0 <= 0.15 }.count) / count * 100).text(0)) % "
      text += "| \((Double(rows.filter(\.isCovered).count) / count * 100).text(0)) % |\n"
    }
    for (name, rows) in groups.prefix(1) { line(name, rows) }
    line("of these not used in a fit", throughputs.filter { !$0.measured.isFitted })
    for (name, rows) in groups.dropFirst() { line(name, rows) }
    return text
  }

  private var throughputTable: String {
    let isSimulated = throughputs.contains { $0.simulated != nil }
    var text = "| case | system | configuration | predicted | 90 % | measured | error | fit |"
    text += isSimulated ? " simulated | error | balance drawn | experts |\n" : "\n"
    text += "|---|---|---|--:|--:|--:|--:|---|" + (isSimulated ? "--:|--:|--:|---|\n" : "\n")
    for row in throughputs {
      text +=
        "| \(row.measured.id) | \(row.measured.system) | \(row.measured.phase?.rawValue ?? "") "
      text += "\(row.measured.label) | \(row.predicted.value.text(0)) "
      text += "| \(row.predicted.lower.text(0)) - \(row.predicted.upper.text(0)) "
      text += "| \(row.measured.value.text(0)) | \(Self.percent(row.error)) "
      text += "| \(row.measured.isFitted ? "yes" : "no") |"
      if let simulated = row.simulated {
        text += " \(simulated.rate.text(0)) "
        text += "| \(Self.percent(simulated.rate / row.measured.value - 1)) "
        text += "| \(simulated.balancedness.text(2)) | \(simulated.placement.rawValue) |"
      }
      text += "\n"
    }
    return text
  }

  /// Simulations of groups of cases beside estimates and measurements.
  private var simulationTable: String {
    var text = "| cases | count | simulated over predicted | median error, predicted "
    text += "| median error, simulated |\n|---|--:|--:|--:|--:|\n"
    for (name, rows) in groups {
      let pairs = rows.compactMap { row in row.simulated.map { (row, $0.rate) } }
      if pairs.isEmpty { continue }
      let ratio = pairs.map { $1 / $0.predicted.value }.median
      let errors = pairs.map { abs($1 / $0.measured.value - 1) }
      text += "| \(name) | \(pairs.count) | \(ratio.text(3)) "
      text += "| \((pairs.map { abs($0.0.error) }.median * 100).text(1)) % "
      text += "| \((errors.median * 100).text(1)) % |\n"
    }
    return text
  }

  /// What is compared in pairs, by the columns that differ.
  static let orders = [
    ("overlap of two batches", Set(["overlap"])), ("expert ranks", Set(["dp", "ep"])),
    ("MTP depth", Set(["drafts", "gained"])),
  ]

  /// Pairs of cases that differ in these columns alone: how many, and those of which the wrong one is
  /// predicted to be faster.
  func order(of columns: Set<String>) -> (pairs: Int, wrong: [String]) {
    var pairs = 0
    var wrong: [String] = []
    for (index, first) in throughputs.enumerated() {
      for second in throughputs[(index + 1)...]
      where first.measured.differs(from: second.measured, inExactly: columns) {
        pairs += 1
        let isFaster = first.predicted.value > second.predicted.value
        if isFaster != (first.measured.value > second.measured.value) {
          wrong.append("\(first.measured.id) and \(second.measured.id)")
        }
      }
    }
    return (pairs, wrong)
  }

  private var orderTable: String {
    var text = "| differs | pairs | order as measured | wrong |\n|---|--:|--:|---|\n"
    for (name, columns) in Self.orders {
      let (pairs, wrong) = order(of: columns)
      text += "| \(name) | \(pairs) | \(pairs - wrong.count) "
      text += "| \(wrong.joined(separator: ", ")) |\n"
    }
    return text
  }

  private var balanceTable: String {
    var text =
      "| case | system | ranks | slots a rank | experts | predicted | measured | error | fit |\n"
    text += "|---|---|--:|--:|---|--:|--:|--:|---|\n"
    for row in rows where row.measured.phase == .balancedness {
      text += "| \(row.measured.id) | \(row.measured.system) | \(row.measured.text("ep")) "
      text += "| \(row.measured.text("slots")) "
      text += "| \(row.measured.text("balance") == "eplb" ? "balanced" : "in order") "
      text += "| \(row.predicted.value.text(2)) | \(row.measured.value.text(2)) "
      text += "| \(Self.percent(row.error)) | \(row.measured.isFitted ? "yes" : "no") |\n"
    }
    return text
  }

  private var excludedTable: String {
    var text = "| case | system | why nothing is predicted |\n|---|---|---|\n"
    for one in excluded { text += "| \(one.id) | \(one.system) | \(one.excluded) |\n" }
    return text
  }
}
