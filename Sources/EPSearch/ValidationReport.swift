public import EPCost
public import EPModel

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

  /// One micro-batch of each measured layer, kernel by kernel; none unless they were asked for.
  public var kernels: [(layer: String, estimate: FunctionEstimate)] = []

  /// Makes a report.
  public init(rows: [Row], excluded: [MeasuredCase], layers: [LayerComparison] = []) {
    self.rows = rows
    self.excluded = excluded
    self.layers = layers
  }

  var throughputs: [Row] { rows.filter { $0.measured.phase != .balancedness } }

  /// The tables, by name.
  private var tables: [(name: String, table: ReportTable)] {
    var tables = [
      ("targets", targetTable), ("summary", summary), ("orders", orderTable),
      ("throughput", throughputTable), ("balance", balanceTable), ("excluded", excludedTable),
    ]
    if !layers.isEmpty { tables.append(("layers", LayerComparison.table(layers))) }
    if !leftOut.isEmpty { tables.append(("left-out", LeftOut.table(leftOut, beside: self))) }
    if rows.contains(where: { $0.simulated != nil }) {
      tables.append(("simulation", simulationTable))
    }
    return tables
  }

  /// The tables, by name, as Markdown.
  public var sections: [(name: String, text: String)] {
    tables.map { ($0.name, $0.table.markdown) }
  }

  /// The tables as plain data: rates in tokens a second and device, times in seconds, errors and shares as
  /// fractions.
  public var document: Document {
    let parts = tables.map { name, table in
      Document.Field(name: name.replacing("-", with: "_"), value: table.document)
    }
    let layers = kernels.map { $0.estimate.document.with("layer", .text($0.layer)) }
    return Document.object(parts).with("kernels", layers.isEmpty ? nil : .list(layers))
  }

  /// The groups of cases, of which those that a constant was fitted to are left out once.
  var summaries: [(name: String, rows: [Row])] {
    let unfitted = throughputs.filter { !$0.measured.isFitted }
    return (groups.prefix(1) + [("of these not used in a fit", unfitted)] + groups.dropFirst())
      .filter { !$0.rows.isEmpty }
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

  private var summary: ReportTable {
    summaries.table([
      .words("cases", "cases") { .text($0.name) },
      .figure("count", "count") { .count($0.rows.count) },
      .figure("median error", "median_error") { .share($0.rows.medianError, 1) },
      .figure("mean of error", "mean_error") { .error($0.rows.meanError) },
      .figure("within 15 %", "within_15_percent") { .share($0.rows.nearShare) },
      .figure("covered by 90 %", "covered") { .share($0.rows.coverage) },
    ])
  }

  private var throughputTable: ReportTable {
    let rate = "tokens_per_second_per_gpu"
    var columns: [ReportTable.Column<Row>] = [
      .words("case", "case") { .text($0.measured.id) },
      .words("system", "system") { .text($0.measured.system) },
      .words("configuration", "configuration") {
        .text("\($0.measured.phase?.rawValue ?? "") \($0.measured.label)")
      },
      .figure("predicted", "predicted_\(rate)") { .number($0.predicted.value) },
      .figure("90 %", "interval") { .interval($0.predicted) },
      .figure("measured", "measured_\(rate)") { .number($0.measured.value) },
      .figure("error", "error") { .error($0.error) },
      .words("fit", "fitted") { .flag($0.measured.isFitted) },
    ]
    if throughputs.contains(where: { $0.simulated != nil }) {
      columns += [
        .figure("simulated", "simulated_\(rate)") { $0.simulated.map { .number($0.rate) } },
        .figure("error", "simulated_error") { row in
          row.simulated.map { .error($0.rate / row.measured.value - 1) }
        },
        .figure("balance drawn", "balancedness_drawn") {
          $0.simulated.map { .number($0.balancedness, 2) }
        },
        .words("experts", "experts") { $0.simulated.map { .text($0.placement.rawValue) } },
      ]
    }
    return throughputs.table(columns)
  }

  /// Simulations of groups of cases beside estimates and measurements.
  private var simulationTable: ReportTable {
    let lines = groups.map { name, rows in
      (
        name: name,
        pairs: rows.compactMap { row in row.simulated.map { (row: row, rate: $0.rate) } }
      )
    }
    return lines.filter { !$0.pairs.isEmpty }.table([
      .words("cases", "cases") { .text($0.name) },
      .figure("count", "count") { .count($0.pairs.count) },
      .figure("simulated over predicted", "simulated_over_predicted") {
        .number($0.pairs.map { $0.rate / $0.row.predicted.value }.median, 3)
      },
      .figure("median error, predicted", "median_error_predicted") {
        .share($0.pairs.map(\.row).medianError, 1)
      },
      .figure("median error, simulated", "median_error_simulated") {
        .share($0.pairs.map { abs($0.rate / $0.row.measured.value - 1) }.median, 1)
      },
    ])
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

  private var orderTable: ReportTable {
    Self.orders.map { name, columns in (name: name, order: order(of: columns)) }.table([
      .words("differs", "differs") { .text($0.name) },
      .figure("pairs", "pairs") { .count($0.order.pairs) },
      .figure("order as measured", "as_measured") {
        .count($0.order.pairs - $0.order.wrong.count)
      },
      .words("wrong", "wrong") {
        .init($0.order.wrong.joined(separator: ", "), .texts($0.order.wrong))
      },
    ])
  }

  private var balanceTable: ReportTable {
    rows.filter { $0.measured.phase == .balancedness }.table([
      .words("case", "case") { .text($0.measured.id) },
      .words("system", "system") { .text($0.measured.system) },
      .figure("ranks", "ranks") { Int($0.measured.text("ep")).map { .count($0) } },
      .figure("slots a rank", "slots_per_rank") {
        Int($0.measured.text("slots")).map { .count($0) }
      },
      .words("experts", "experts") {
        .text($0.measured.text("balance") == "eplb" ? "balanced" : "in order")
      },
      .figure("predicted", "predicted_balancedness") { .number($0.predicted.value, 2) },
      .figure("measured", "measured_balancedness") { .number($0.measured.value, 2) },
      .figure("error", "error") { .error($0.error) },
      .words("fit", "fitted") { .flag($0.measured.isFitted) },
    ])
  }

  private var excludedTable: ReportTable {
    excluded.table([
      .words("case", "case") { .text($0.id) }, .words("system", "system") { .text($0.system) },
      .words("why nothing is predicted", "reason") { .text($0.excluded) },
    ])
  }
}

extension [ValidationReport.Row] {
  /// The median of errors without their signs.
  var medianError: Double { map { abs($0.error) }.median }
  /// The mean of errors.
  var meanError: Double { reduce(0) { $0 + $1.error } / Double(count) }
  /// The share of rows whose error is at most 15 %.
  var nearShare: Double { Double(filter { abs($0.error) <= 0.15 }.count) / Double(count) }
  /// The share of rows whose measurement lies in the 90 % interval.
  var coverage: Double { Double(filter(\.isCovered).count) / Double(count) }
}
