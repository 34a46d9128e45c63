import ArgumentParser
import EPIR
import EPJSON
import EPModel
import EPPlacement
import EPPlan

struct BalanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "balance",
    abstract: "Place experts for measured loads.",
    discussion: """
      LOADS is a CSV or JSON file with a row of token counts for each layer, or a distribution: \
      uniform, zipf:EXPONENT or lognormal:SIGMA. Balance is mean over largest rank load; the bound \
      is the most that any placement can have.

        epc balance loads.csv --ranks 288 --redundant 32
        epc balance zipf:1.0 --experts 256 --layers 58 --ranks 64 --redundant 64 --nodes 8
      """)

  @Argument(help: "Loads: a file, or a distribution.")
  var loads: String

  @Option(help: "Ranks that share the experts.")
  var ranks: Int

  @Option(help: "Slots beyond one for each expert; as few as come out even unless set.")
  var redundant: Int?

  @Option(help: "Nodes, each of consecutive ranks.")
  var nodes: Int = 1

  @Option(help: "Groups of experts that routing chooses among.")
  var groups: Int = 1

  @Flag(help: "Keep the experts of a group in one node.")
  var hierarchical = false

  @Option(help: "For a distribution: experts of a layer.")
  var experts: Int?

  @Option(help: "For a distribution: layers.")
  var layers: Int = 58

  @Option(help: "For a distribution: what it is drawn from.")
  var seed: UInt64 = 1

  @Option(help: "Number of the first layer that LOADS has, for what is written.")
  var firstLayer: Int = 0

  @Option(help: "Write the placement for SGLang's --init-expert-location.")
  var sglang: String?

  @Option(help: "Write the placement for TensorRT-LLM, as YAML.")
  var tensorrtLlm: String?

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      do throws(PlacementError) {
        let loads = try LoadSource.loads(
          self.loads, firstLayer: firstLayer, layers: layers, experts: experts, seed: seed)
        let fewest = ranks > 0 ? (ranks - loads.experts % ranks) % ranks : 0
        let shape = try PlacementShape(
          experts: loads.experts, redundant: redundant ?? fewest, ranks: ranks, nodes: nodes,
          groups: groups)
        let report = try BalanceReport(
          loads: loads, shape: shape, mode: hierarchical ? .hierarchical : .global)
        try write(report, loads)
        switch format {
        case .text: Terminal.print(report.text)
        case .json: Terminal.print(report.document.json + "\n")
        }
      } catch { throw Diagnostics("balance", error.description) }
    }
  }

  private func write(
    _ report: BalanceReport, _ loads: ExpertLoads
  ) throws(PlacementError) {
    do {
      if let sglang {
        let value = try PlacementExport.sglang(
          report.placements, layers: loads.layers, modelLayers: (loads.layers.max() ?? 0) + 1,
          experts: loads.experts)
        try Terminal.save(try value.serialized(), to: sglang)
      }
      if let tensorrtLlm {
        let text = try PlacementExport.tensorRTLLM(report.placements, layers: loads.layers)
        try Terminal.save(Array(text.utf8), to: tensorrtLlm)
      }
    } catch let error as PlacementError { throw error } catch { throw .shape("\(error)") }
  }
}

/// Loads from a file, or from a named distribution.
enum LoadSource {
  static func loads(
    _ text: String, firstLayer: Int = 0, layers: Int, experts: Int?, seed: UInt64
  ) throws(PlacementError) -> ExpertLoads {
    if text == "uniform" || text.hasPrefix("zipf:") || text.hasPrefix("lognormal:") {
      guard let experts else {
        throw .shape("'\(text)' needs the number of experts; give '--experts'")
      }
      return try LoadDistribution(parsing: text).loads(
        layers: layers, experts: experts, tokens: 1_048_576, seed: seed)
    }
    return try ExpertLoads(file: text, firstLayer: firstLayer)
  }
}
