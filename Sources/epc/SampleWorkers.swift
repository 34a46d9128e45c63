import EPBackend
import EPBackendCPU
import EPBackendSimGPU
import EPIR
import EPPlan
import EPRuntime

/// A plan of the conformance suite run over processes: this one and workers that run the same command,
/// each for one plan.
struct SampleWorkers {
  private static let variable = "EPC_SIMGPU_SAMPLE"

  /// The plan that this process is a worker for, counted from 1; nil in the first process.
  static var number: Int? {
    NumericRun.worker == nil ? nil : Terminal.environment[variable].flatMap { Int($0) } ?? 0
  }

  private let plan: Plan
  private let number: Int

  init(_ plan: Plan, number: Int) {
    self.plan = plan
    self.number = number
  }

  /// Generates with a process for each rank of the smallest pool, at most four.
  func generate(
    _ weights: WeightStore, _ request: GenerationRequest, _ device: CPUDevice
  ) throws -> GenerationResult {
    let ranks = plan.pools.map(\.mesh.ranks).min() ?? 1
    let shape = WorkerGroup.shape(of: plan, processes: min(ranks, 4), digest: UInt64(number))
    let worker = NumericRun.worker
    if let worker, !worker.bind() { throw BackendError.process("no parent") }
    let region =
      if let worker {
        try SharedRegion(
          joining: Workers.Identity.descriptor, shape: shape, process: worker.process)
      } else {
        try SharedRegion(making: shape)
      }
    let group = WorkerGroup(plan, region: region)
    var workers: Workers?
    if worker == nil && shape.processes > 1 {
      var environment = Terminal.environment
      environment[SampleWorkers.variable] = String(number)
      workers = try Workers(
        group, program: Terminal.executable, arguments: Array(CommandLine.arguments.dropFirst()),
        environment: environment)
    }
    defer { workers?.stop() }
    do {
      let result = try PlanSession(
        plan, weights: weights, device: SimulatedDevice(device, region: region), processes: group
      ).generate(request)
      try group.barrier()
      try workers?.join()
      return result
    } catch {
      // The first reason is the cause; what others say follows from it.
      group.abort("\(error)")
      throw BackendError.process(group.abortReason ?? "\(error)")
    }
  }
}
