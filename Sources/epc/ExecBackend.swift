import EPBackendCPU
import EPCompiler
import EPIR
import EPPlan
import EPRuntime
import Glibc

// Runs on simulated devices.
extension ExecCommand {
  /// Whether the plan is run without payload: where simulated devices are asked for without anything
  /// to compute with, or where nothing is asked for and the model would not fit into this machine.
  func isSimulated() throws(Diagnostics) -> Bool {
    if weights != nil || prompt != nil || tokens != nil || tokensFile != nil { return false }
    if let backend { return backend == "simgpu" }
    return try Plan.load(plan).residentBytes > HostMemory.bytes
  }

  /// Runs the plan without payload.
  func simulate() throws(Diagnostics) {
    try GivenFlags.refuse(
      [
        "output", "dump", "check", "bound", "processes", "generate", "speculate", "temperature",
        "top-k", "top-p", "chunk", "kernels", "backend-timeout", "dtype", "memory",
      ], "is of a run with tensors; give '--weights' and a prompt too")
    try simulation.checkTogether()
    var plan = try Plan.load(plan)
    let source = try loads.source()
    if let source { try plan.placeExperts(for: source) }
    try SimulationRun(
      plan: plan, flags: simulation, loads: source, seed: seed, threads: cpu.threads,
      format: format
    ).run()
  }

  /// Runs a request over several processes.
  func runOverProcesses(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: CPUDevice
  ) throws(Diagnostics) -> NumericRun.Outcome {
    if !request.kept.isDisjoint(with: [.routing, .hidden]) {
      throw Diagnostics(
        "flag", "'--dump routing' and '--dump hidden' are kept in one process; use '--backend cpu'")
    }
    let progress = Progress(total: request.prompts.count * request.count)
    defer { progress.end() }
    return try NumericRun(
      plan: plan, file: self.plan, processes: processes, weights: device.weights,
      threads: cpu.threads, faults: simulation.schedule(plan, steps: max(generate, 1)),
      recovers: simulation.recover, spares: simulation.checkedSpares()
    ).generate(request, source) { progress.show($0) }
  }
}

extension Plan {
  /// Bytes of all weights in fp32, in which values are computed whatever the plan's formats are.
  var residentBytes: Int { 4 * (model.parameters + model.draftParameters) }
}

/// The machine that runs the command.
enum HostMemory {
  /// Bytes of memory; 0 where the system does not say.
  static let bytes = max(0, sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
}
