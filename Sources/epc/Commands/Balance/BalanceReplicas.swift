import ArgumentParser
import EPIR
import EPPlacement

struct BalanceReplicas: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replicas",
    abstract: "Find how many redundant experts pay, within memory.",
    discussion: """
      Places for every number of slots that fits, and says what each GiB brings; then what each \
      layer would take if layers could differ.

        epc balance replicas loads.csv --ranks 32 --model models/deepseek-v3.swift --memory 40
      """)

  @Argument(help: "Loads: a file, or a distribution.")
  var loads: String

  @Option(help: "Ranks that share the experts.")
  var ranks: Int

  @Option(help: "GiB a rank has for routed experts of all layers.")
  var memory: Double

  @Option(help: "Balance that fewer slots may cost.")
  var tolerance: Double = 0.01

  @OptionGroup
  var experts: ExpertFlags

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let known = try experts.read()
      var budget: ReplicaBudget?
      try balancing { () throws(PlacementError) in
        guard memory > 0, memory < 1e9 else { throw .shape("'--memory \(memory)' are no GiB") }
        guard tolerance >= 0, tolerance < 1 else {
          throw .shape("'--tolerance \(tolerance)'; it is at least 0 and below 1")
        }
        budget = try ReplicaBudget(
          loads: try known.loads(loads), ranks: ranks, expertBytes: try known.bytes(),
          bytesPerRank: Int(memory * 0x1p30), tolerance: tolerance)
      }
      if let budget { try format.print(budget.text, budget.document) }
    }
  }
}
