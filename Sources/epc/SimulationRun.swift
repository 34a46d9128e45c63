import EPBackendSimGPU
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlacement
import EPPlan
import EPSearch
import Glibc

/// A payload-free run of `epc exec`: simulate, write what was asked for, show the summary.
struct SimulationRun {
  let plan: Plan
  let flags: SimulationFlags
  let loads: LoadSource?
  let seed: UInt64
  let threads: Int?
  let format: OutputFormat

  func run() throws(Diagnostics) {
    let options = try flags.options(plan, loads: loads, seed: seed, threads: threads)
    let capacity = try flags.deviceMemory.map { (gibibytes) throws(Diagnostics) -> Int in
      guard gibibytes > 0, gibibytes <= 1e6 else {
        throw Diagnostics("flag", "'--device-memory \(gibibytes)'; it is above 0 and at most 1e6")
      }
      return Int(gibibytes * Double(1 << 30))
    }
    let model = try model()
    let simulation = try ClusterSimulation(
      plan, model: model, options: options, capacity: capacity)
    if flags.requests != nil {
      try serve(ServingRun(plan: plan, flags: flags, model: model, options: options, seed: seed))
      return
    }
    let display = SimulationProgress(pools: plan.pools.map(\.role.rawValue))
    simulation.replan = { (plan, pool) throws(Diagnostics) in
      try plan.withoutDataGroup(ofPool: pool)
    }
    defer { display.end() }
    try simulation.run { display.show($0) }
    display.end()
    if let trace = flags.trace { try Terminal.save(Array(simulation.trace.utf8), to: trace) }
    if let report = flags.report { try Terminal.save(Array(simulation.page.utf8), to: report) }
    if let metrics = flags.metrics {
      try Terminal.save(Array(simulation.metrics.utf8), to: metrics)
    }
    if format == .json {
      try Terminal.print(simulation.document)
    } else {
      Terminal.print(simulation.text)
      for path in [flags.trace, flags.report, flags.metrics].compactMap({ $0 }) where path != "-" {
        Terminal.print("wrote \(path)\n")
      }
    }
  }

  /// Serves requests instead of running steps of the plan's own load.
  private func serve(_ serving: ServingRun) throws(Diagnostics) {
    for (name, file) in [
      ("trace", flags.trace), ("report", flags.report), ("metrics", flags.metrics),
      ("faults", flags.faults),
    ] where file != nil {
      throw Diagnostics("flag", "'--\(name)' is of a run of steps; leave out '--requests'")
    }
    let (report, shapes) = try serving.run()
    try format.print(
      report.text + "\(shapes) shapes of steps simulated\n",
      report.document.with("shapes_of_steps", .int(shapes)))
  }

  /// What kernels take on the plan's devices.
  private func model() throws(Diagnostics) -> CostModel {
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    try plan.cluster.requireAlike()
    let hardware: Hardware
    if let cluster = flags.cluster {
      hardware = try catalog.cluster(cluster).hardware
    } else {
      hardware = try catalog.hardware(named: plan.cluster.device)
    }
    return CostModel(hardware, calibration: try Calibration(catalog: catalog))
  }
}

/// A line on the terminal that shows how far a simulation is, once it takes longer than a second.
final class SimulationProgress {
  private let pools: [String]
  private let start = ContinuousClock.now
  private var drawn = ContinuousClock.now
  private let isShown = isatty(STDERR_FILENO) == 1
  private var hasDrawn = false

  init(pools: [String]) { self.pools = pools }

  func show(_ progress: ClusterSimulation.Progress) {
    let now = ContinuousClock.now
    guard isShown, start.duration(to: now) > .seconds(1),
      !hasDrawn || drawn.duration(to: now) > .milliseconds(100)
    else { return }
    (hasDrawn, drawn) = (true, now)
    let filled = progress.steps * 24 / max(progress.of, 1)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 24 - filled)
    Terminal.draw(
      "\r\(pools[progress.pool]) [\(bar)] step \(progress.steps)/\(progress.of), "
        + "\((progress.simulation.seconds * 1e3).rounded() / 1e3) s simulated, "
        + "\(Int(progress.tokensPerSecond)) tokens/s, slowest rank "
        + "\(progress.simulation.slowestRank)  ")
  }

  func end() {
    if hasDrawn { Terminal.draw("\r" + String(repeating: " ", count: 100) + "\r") }
  }
}
