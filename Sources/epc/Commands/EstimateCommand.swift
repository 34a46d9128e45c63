import ArgumentParser
import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlacement
import EPPlan

struct EstimateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "estimate",
    abstract: "Work out what one configuration delivers: time by part, memory by part, cost.",
    discussion: """
      Every figure says where it comes from (measured, interpolated, extrapolated, derived) and \
      carries a 90 % interval; docs/cost.md says how. '--batch' is for each device.

        epc estimate models/deepseek-v3.swift --cluster h100:72 --phase decode --ep 72 \\
          --batch 256 --context 2000
        epc estimate models/deepseek-v3.swift --cluster h800:32 --phase prefill \\
          --tokens-per-gpu 16384 --explain
      """)

  @Argument(help: "The model.")
  var model: String

  @OptionGroup
  var flags: PlanFlags

  @Option(help: "Two micro-batches side by side where that is faster (auto), never (none), always.")
  var overlap: OverlapFlag = .auto

  @Option(help: "The chance that a drafted token is accepted, given those before it.")
  var acceptance: Double = 0.85

  @Option(help: "Number format attention reads its cache and computes in: bf16 or fp8.")
  var attention: AttentionFormat = .bf16

  @Option(help: "Mean over maximum of expert ranks' tokens, where '--loads' says nothing.")
  var balancedness: Double = 1

  @Option(help: "Dollars of a device and hour; the hardware file's price unless set.")
  var price: Double?

  @Flag(help: "Print every kernel: shape, time, bound, provenance.")
  var explain = false

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  /// What '--overlap' takes.
  enum OverlapFlag: String, ExpressibleByArgument, CaseIterable {
    case auto, none, always
  }

  /// What '--attention' takes.
  enum AttentionFormat: String, ExpressibleByArgument, CaseIterable {
    case bf16, fp8
  }

  func run() throws {
    try reporting { () throws(Diagnostics) in
      if !(acceptance >= 0 && acceptance <= 1) {
        throw Diagnostics("flag", "'--acceptance \(acceptance)'; it is between 0 and 1")
      }
      if !(balancedness > 0 && balancedness <= 1) {
        throw Diagnostics("flag", "'--balancedness \(balancedness)'; it is above 0 and at most 1")
      }
      var request = try flags.request()
      // Without '--mtp' nothing is drafted.
      request.drafts = request.drafts ?? 0
      let loaded = try LoadedModel.load(model)
      for note in loaded.notes { Terminal.error("note: \(note)") }
      let catalog = HardwareCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      let plan = try Compiler.compile(Compilation(loaded.program, request))
      let hardware = request.cluster?.hardware ?? request.defaultHardware
      let cost = CostModel(hardware, calibration: try Calibration(catalog: catalog))
      var documents: [Document] = []
      for pool in plan.pools {
        var estimator = StepEstimator(
          pool, precision: plan.model.precision, model: cost,
          devicesPerNode: plan.cluster.devicesPerNode)
        if let loads = request.loads {
          do throws(PlacementError) { estimator.loads = try loads.loads(of: pool) } catch {
            throw Diagnostics("expert-loads", error.description)
          }
        }
        estimator.assumedBalancedness = balancedness
        if attention == .fp8 { estimator.attentionFormat = .fp8 }
        let estimate = estimator.poolEstimate(
          overlap: overlap == .auto ? nil : overlap == .none ? OverlapChoice.none : .twoBatches,
          drafts: pool.drafts.count, acceptance: acceptance,
          dollarsPerHour: price ?? hardware.dollarsPerHour)
        switch format {
        case .text:
          if explain { Terminal.print(estimate.operations.explanation + "\n") }
          Terminal.print(
            "\(plan.model.name) \(pool.role.rawValue) on \(plan.cluster.name), \(pool.mesh)\n"
              + estimate.text + "\n")
        case .json: documents.append(estimate.document)
        }
      }
      if format == .json {
        let whole = documents.count == 1 ? documents[0] : .object(["pools": .list(documents)])
        do {
          let bytes = try whole.jsonValue.serialized(style: .pretty)
          Terminal.print(String(decoding: bytes, as: UTF8.self))
        } catch { throw Diagnostics("estimate-json", "\(error)") }
      }
    }
  }
}
