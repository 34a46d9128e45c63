import ArgumentParser
import EPIR
import EPPlacement

struct BalanceSimulate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Replay a trace of loads under a policy of rebalancing.",
    discussion: """
      WINDOWS are files of loads in order, or one JSON file {"windows": [[[tokens, ...], ...], ...]}. \
      Experts are placed for the first window; each window is served by the placement made for \
      those before it. '--budget' may be given more than once.

        epc balance simulate w0.csv w1.csv w2.csv w3.csv --ranks 32 --redundant 32 \\
          --model models/deepseek-v3.swift --budget 5 --budget 10 --threshold 0.95
      """)

  @Argument(help: "Windows of loads.")
  var windows: [String]

  @OptionGroup
  var slots: SlotFlags

  @OptionGroup
  var experts: ExpertFlags

  @Option(help: "Copies of a rebalancing, in percent of all slots.")
  var budget: [Double] = [10]

  @Option(help: "Windows between two looks at the loads.")
  var period: Int = 1

  @Option(help: "Move experts only if the mean balance is below this.")
  var threshold: Double = 1

  @Option(help: "How replicas share tokens: turn, or batch.")
  var sharing: SharingFlag = .turn

  @Option(help: "The most bytes a rank receives, or sends, in a step.")
  var stepBytes: Int = 1 << 30

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let known = try experts.read()
      var report: PolicyReport?
      try balancing { () throws(PlacementError) in
        if let wrong = budget.first(where: { !($0 >= 0 && $0 <= 100) }) {
          throw .shape("'--budget \(wrong)' is no part of the slots in percent")
        }
        if stepBytes < 1 { throw .shape("'--step-bytes \(stepBytes)'; a step moves something") }
        if period < 1 { throw .shape("'--period \(period)'; it is at least 1") }
        if !(0...1).contains(threshold) {
          throw .shape("'--threshold \(threshold)'; a balance is from 0 to 1")
        }
        let trace = try known.trace(windows)
        let simulation = PolicySimulation(
          shape: try slots.shape(trace.windows[0].experts, known),
          expertBytes: try known.bytes(), bytesPerStep: stepBytes)
        report = try PolicyReport(
          budget.map {
            RebalancePolicy(
              action: .partial(budget: $0 / 100), period: period, threshold: threshold,
              sharing: sharing.rebalancing)
          }, over: trace, in: simulation)
      }
      if let report { try format.print(report.text, report.document) }
    }
  }
}
