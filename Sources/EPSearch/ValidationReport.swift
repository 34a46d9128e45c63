public import EPCost

/// Measured cases beside what the cost model says of them.
public struct ValidationReport: Sendable {
  /// A case and its prediction.
  public struct Row: Sendable {
    /// The case.
    public var measured: MeasuredCase
    /// What the model says.
    public var predicted: Figure
    /// Makes a row.
    public init(measured: MeasuredCase, predicted: Figure) {
      self.measured = measured
      self.predicted = predicted
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

  /// Makes a report.
  public init(rows: [Row], excluded: [MeasuredCase]) {
    self.rows = rows
    self.excluded = excluded
  }

  private var throughputs: [Row] { rows.filter { $0.measured.phase != .balancedness } }

  /// The tables, by name, as Markdown.
  public var sections: [(name: String, text: String)] {
    [
      ("summary", summary), ("orders", orderTable), ("throughput", throughputTable),
      ("balance", balanceTable),
      ("excluded", excludedTable),
    ]
  }

  private static func percent(_ share: Double) -> String {
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
    line("all throughputs", throughputs)
    line("of these not used in a fit", throughputs.filter { !$0.measured.isFitted })
    var seen: [String] = []
    for row in throughputs {
      let group =
        "\(row.measured.system), \(row.measured.phase?.rawValue ?? "") on "
        + row.measured.hardware
      if seen.contains(group) { continue }
      seen.append(group)
      line(
        group,
        throughputs.filter {
          $0.measured.system == row.measured.system && $0.measured.phase == row.measured.phase
            && $0.measured.hardware == row.measured.hardware
        })
    }
    return text
  }

  private var throughputTable: String {
    var text = "| case | system | configuration | predicted | 90 % | measured | error | fit |\n"
    text += "|---|---|---|--:|--:|--:|--:|---|\n"
    for row in throughputs {
      text +=
        "| \(row.measured.id) | \(row.measured.system) | \(row.measured.phase?.rawValue ?? "") "
      text += "\(row.measured.label) | \(row.predicted.value.text(0)) "
      text += "| \(row.predicted.lower.text(0)) - \(row.predicted.upper.text(0)) "
      text += "| \(row.measured.value.text(0)) | \(Self.percent(row.error)) "
      text += "| \(row.measured.isFitted ? "yes" : "no") |\n"
    }
    return text
  }

  /// Pairs of cases that differ in one thing, and which of both was faster.
  private var orderTable: String {
    var text = "| differs | pairs | order as measured | wrong |\n|---|--:|--:|---|\n"
    for (name, columns) in [
      ("overlap of two batches", Set(["overlap"])), ("expert ranks", Set(["dp", "ep"])),
      ("MTP depth", Set(["drafts", "gained"])),
    ] {
      var (count, right) = (0, 0)
      var wrong: [String] = []
      for (index, first) in throughputs.enumerated() {
        for second in throughputs[(index + 1)...]
        where first.measured.differs(from: second.measured, inExactly: columns) {
          count += 1
          let isFaster = first.predicted.value > second.predicted.value
          if isFaster == (first.measured.value > second.measured.value) {
            right += 1
          } else {
            wrong.append("\(first.measured.id) and \(second.measured.id)")
          }
        }
      }
      text += "| \(name) | \(count) | \(right) | \(wrong.joined(separator: ", ")) |\n"
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
