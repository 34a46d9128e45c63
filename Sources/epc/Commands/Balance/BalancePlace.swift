import ArgumentParser
import EPIR
import EPPlacement

struct BalancePlace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "place",
    abstract: "Place experts for loads.",
    discussion: """
      LOADS is a CSV or JSON file with a row of token counts for each layer, or a distribution: \
      uniform, zipf:EXPONENT or lognormal:SIGMA, drawn from a seed with '@SEED' behind it. The \
      bound is the balance that no placement can exceed; docs/placement.md proves it.

        epc balance loads.csv --ranks 288 --redundant 32
        epc balance zipf:1.0@7 --experts 256 --layers 58 --ranks 64 --redundant 64 --nodes 8
        epc balance loads.csv --model models/deepseek-v3.swift --ranks 32 \\
          --redundant 32 --sglang experts.json --svg balance.svg
      """)

  /// What '--mode' takes.
  enum Mode: String, ExpressibleByArgument, CaseIterable {
    case global, hierarchical

    var balancer: ExpertBalancer.Mode { self == .global ? .global : .hierarchical }
  }

  @Argument(help: "Loads: a file, or a distribution.")
  var loads: String

  @OptionGroup
  var slots: SlotFlags

  @OptionGroup
  var experts: ExpertFlags

  @Option(help: "Over what slots are chosen: all ranks (global), or a group's node (hierarchical).")
  var mode: Mode = .global

  @OptionGroup
  var output: PlacementOutput

  @Option(help: "Draw the load of each rank, before and after, as SVG.")
  var svg: String?

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let known = try experts.read()
      var found: (report: BalanceReport, loads: ExpertLoads)?
      try balancing { () throws(PlacementError) in
        let loads = try known.loads(loads)
        let shape = try slots.shape(loads.experts, known)
        found = (try BalanceReport(loads: loads, shape: shape, mode: mode.balancer), loads)
      }
      guard let (report, loads) = found else { return }
      try output.write(report.document, report.placements, loads, known)
      if let svg { try Terminal.save(Array(report.picture.utf8), to: svg) }
      try format.print(report.text, report.document)
    }
  }
}
