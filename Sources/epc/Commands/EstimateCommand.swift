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
      carries a 90 % interval; docs/cost.md says how. '--batch' is for each device. Of a plan, the \
      step is priced as the plan has it: in its micro-batches, by its schedules.

        epc estimate models/deepseek-v3.swift --cluster h100:72 --phase decode --ep 72 \\
          --batch 256 --context 2000
        epc estimate models/deepseek-v3.swift --cluster h800:32 --phase prefill \\
          --tokens-per-gpu 16384 --explain
        epc estimate plan.json
      """)

  @Argument(help: "The model, or a plan.")
  var model: String

  @OptionGroup
  var flags: PlanFlags

  @Option(
    help: "Micro-batches of a step: auto, none (nothing overlaps), or a number, as for 'compile'.")
  var overlap: String = "auto"

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
      if let price, !(price >= 0 && price <= 1e6) {
        throw Diagnostics("flag", "'--price \(price)'; it is dollars, at least 0")
      }
      let catalog = HardwareCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      let calibration = try Calibration(catalog: catalog)
      let plan = try plan(calibration)
      try plan.cluster.requireAlike()
      let hardware: Hardware
      if let cluster = flags.cluster {
        hardware = try catalog.cluster(cluster).hardware
      } else {
        hardware = try catalog.hardware(named: plan.cluster.device)
      }
      let loads = try flags.loads.source()
      var documents: [Document] = []
      for pool in plan.pools {
        var estimator = StepEstimator(
          pool, precision: plan.model.precision,
          model: CostModel(hardware, calibration: calibration),
          devicesPerNode: plan.cluster.devicesPerNode)
        if let loads {
          do throws(PlacementError) { estimator.loads = try loads.loads(of: pool) } catch {
            throw Diagnostics("expert-loads", error.description)
          }
        }
        estimator.assumedBalancedness = balancedness
        if attention == .fp8 { estimator.attentionFormat = .fp8 }
        let estimate = estimator.poolEstimate(
          of: estimator.recordedPlan(), drafts: pool.drafts.count, acceptance: acceptance,
          dollarsPerHour: price ?? hardware.dollarsPerHour)
        switch format {
        case .text:
          if explain { Terminal.print(estimate.operations.explanation + "\n") }
          Terminal.print(
            "\(plan.model.name) \(pool.role.rawValue) on \(plan.cluster.name), \(pool.mesh)\n"
              + estimate.text + "\n")
        case .json:
          documents.append(
            estimate.document.with("kernels", explain ? estimate.operations.document : nil))
        }
      }
      if format == .json {
        try Terminal.print(
          documents.count == 1 ? documents[0] : .object(["pools": .list(documents)]))
      }
    }
  }
  /// The plan of the file, or the one that the flags make of a model.
  private func plan(_ calibration: Calibration) throws(Diagnostics) -> Plan {
    if try LoadedModel.isPlan(model) {
      if let flag = flags.sizes.first ?? (overlap == "auto" ? nil : "--overlap") {
        throw Diagnostics("flag", "'\(flag)' beside \(model): a plan says that itself")
      }
      return try Plan.load(model)
    }
    var request = try flags.request()
    // Without '--mtp' nothing is drafted.
    request.drafts = request.drafts ?? 0
    request.overlap = try PlanFlags.overlap(overlap)
    request.calibration = calibration
    for index in request.pools.indices { request.pools[index].balancedness = balancedness }
    let loaded = try LoadedModel.load(model)
    for note in loaded.notes { Terminal.error("note: \(note)") }
    return try Compiler.compile(Compilation(loaded.program, request))
  }
}
