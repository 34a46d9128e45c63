import EPBackend
import EPBackendCPU
import EPBackendSimGPU
import EPIR
import EPPlan
import EPRuntime
import Glibc

/// A run with tensors over several processes: this one and workers that run the same command.
///
/// Each process makes every step with the ranks it has, so all of them make the same tokens; the
/// first prints them.
struct NumericRun {
  let plan: Plan
  /// The plan's file, of which all processes must see the same bytes.
  let file: String
  let processes: Int?
  /// How matrices are kept.
  let weights: WeightFormat
  /// Threads of each process; the processors shared out unless set.
  let threads: Int?

  /// Which worker this process is; nil for the first.
  static let worker = Terminal.environment[Workers.Identity.variable].flatMap {
    Workers.Identity(parsing: $0)
  }

  /// Generates on all processes; the result is the same in each.
  func generate(
    _ request: GenerationRequest, _ source: WeightSource, progress: (Int) -> Void
  ) throws(Diagnostics) -> GenerationResult {
    do {
      return try run(request, source, progress: progress)
    } catch let error as BackendError {
      throw Diagnostics("exec", error.description)
    } catch let error as ExecutionError {
      throw Diagnostics("exec", error.description)
    } catch let error as Diagnostics { throw error } catch { throw Diagnostics("exec", "\(error)") }
  }

  private func run(
    _ request: GenerationRequest, _ source: WeightSource, progress: (Int) -> Void
  ) throws -> GenerationResult {
    if let worker = Self.worker, !worker.bind() { throw BackendError.process("no parent") }
    let count = try processCount()
    let shape = WorkerGroup.shape(of: plan, processes: count, digest: try digest())
    let region =
      if let worker = Self.worker {
        try SharedRegion(
          joining: Workers.Identity.descriptor, shape: shape, process: worker.process)
      } else {
        try SharedRegion(making: shape)
      }
    let group = WorkerGroup(plan, region: region)
    var workers: Workers?
    if Self.worker == nil && count > 1 {
      workers = try Workers(
        group, program: Terminal.executable, arguments: Array(CommandLine.arguments.dropFirst()),
        environment: Terminal.environment)
    }
    defer { workers?.stop() }
    do {
      let store = try WeightStore(source, for: plan)
      let session = try PlanSession(
        plan, weights: store,
        device: SimulatedDevice(
          CPUDevice(
            weights: weights, threads: threads ?? max(1, CPUDevice.processors / count)),
          region: region), processes: group)
      let result = try session.generate(request, progress: progress)
      try group.barrier()
      try workers?.join()
      return result
    } catch {
      // The first reason is the cause; what others say follows from it.
      group.abort("\(error)")
      // Only the first process tells why.
      if Self.worker != nil { exit(1) }
      if let reason = group.abortReason { throw BackendError.process(reason) }
      throw error
    }
  }

  /// Processes of the run: as many as cores, at most one a rank.
  private func processCount() throws(Diagnostics) -> Int {
    if let worker = Self.worker { return worker.processes }
    let ranks = plan.pools.map(\.mesh.ranks).min() ?? 1
    guard let processes else {
      return max(1, min(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), ranks, 64))
    }
    guard processes >= 1, processes <= 64 else {
      throw Diagnostics("flag", "'--processes \(processes)'; it is at least 1 and at most 64")
    }
    if processes > ranks {
      throw Diagnostics(
        "flag", "'--processes \(processes)' for \(ranks) rank(s); each process has at least one")
    }
    return processes
  }

  /// A digest of the plan's bytes and of the flags (FNV-1a).
  private func digest() throws(Diagnostics) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in try Terminal.read(file, maxBytes: 1 << 30) {
      hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
    }
    for byte in CommandLine.arguments.dropFirst().joined(separator: "\0").utf8 {
      hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
    }
    return hash
  }
}
