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

  /// What goes wrong, whether the run goes on then, and devices that stand by.
  var faults = FaultSchedule()
  var recovers = false
  var spares = 0

  /// What came of a run: the same in each process, but for what the first alone sees.
  struct Outcome {
    var result: GenerationResult
    /// What went wrong and was noticed.
    var faults: [FaultReport] = []
  }

  /// Whether the first process only looks after the others, so that any of them can be lost.
  private var isSupervised: Bool { recovers || !faults.faults.isEmpty }

  /// Generates on all processes.
  func generate(
    _ request: GenerationRequest, _ source: WeightSource, progress: (Int) -> Void
  ) throws(Diagnostics) -> Outcome {
    do {
      if let worker = Self.worker, !worker.bind() { throw BackendError.process("no parent") }
      var recovery = Recovery(plan: plan, request: request, spares: spares)
      for pool in Self.worker?.losses ?? [] { try recovery.lose(pool) }
      while true {
        do {
          let result = try attempt(&recovery, source, progress: progress)
          return Outcome(result: recovery.whole(result), faults: recovery.reports)
        } catch let failure as Failure {
          try recovery.take(failure, faults: faults, recovers: recovers)
        }
      }
    } catch let error as BackendError {
      throw Diagnostics("exec", error.description)
    } catch let error as ExecutionError {
      throw Diagnostics("exec", error.description)
    } catch let error as Diagnostics { throw error } catch { throw Diagnostics("exec", "\(error)") }
  }

  /// Why an attempt broke off, as the first process sees it.
  struct Failure: Error {
    /// What the first to notice says.
    var reason: String
    /// The first rank of each process that was killed.
    var killed: [Int]
    /// Seconds from the fault until it was noticed.
    var noticedAfter: Double
    /// What the attempt had made, and the steps it had begun.
    var brokenOff: (made: [PromptResult], steps: Int)?
    /// When it was noticed.
    var time = ContinuousClock.now
  }

  private func attempt(
    _ recovery: inout Recovery, _ source: WeightSource, progress: (Int) -> Void
  ) throws -> GenerationResult {
    let plan = recovery.plan
    let first = isSupervised ? 1 : 0
    let count = try processCount(plan) + (Self.worker == nil ? first : 0)
    let shape = WorkerGroup.shape(of: plan, processes: count, digest: try digest())
    let region =
      if let worker = Self.worker {
        try SharedRegion(
          joining: Workers.Identity.descriptor, shape: shape, process: worker.process)
      } else {
        try SharedRegion(making: shape)
      }
    let group = WorkerGroup(plan, region: region, faults: faults, isSupervised: isSupervised)
    var workers: Workers?
    if Self.worker == nil && count > 1 {
      workers = try Workers(
        group, program: Terminal.executable, arguments: Array(CommandLine.arguments.dropFirst()),
        environment: Terminal.environment, losses: recovery.losses)
    }
    defer { workers?.stop() }
    var session: PlanSession<SimulatedDevice<CPUDevice>>?
    do {
      let store = try WeightStore(source, for: plan)
      let made = try PlanSession(
        plan, weights: store,
        device: SimulatedDevice(
          CPUDevice(
            weights: weights, threads: threads ?? max(1, CPUDevice.processors / (count - first))),
          region: region), processes: group)
      session = made
      if isSupervised { try recovery.share(in: group) }
      // Loading takes its time; from here on a rank that is silent for so long is missed.
      if faults.faults.contains(where: { $0.kind == .hungCollective }) {
        group.watch.limit = faults.timeout
      }
      recovery.begun()
      let result = try made.generate(recovery.request) { tokens in
        recovery.stepped(group)
        progress(recovery.tokensBefore + tokens)
      }
      try group.barrier()
      try workers?.join()
      return result
    } catch {
      // The first reason is the cause; what others say follows from it.
      group.abort("\(error)")
      // Only the first process tells why.
      if Self.worker != nil { exit(1) }
      let reason = group.abortReason ?? "\(error)"
      let failure = Failure(
        reason: reason,
        killed: (workers?.killed ?? []).compactMap { group.firstRank(ofProcess: $0) },
        noticedAfter: group.secondsSinceFault,
        brokenOff: session?.brokenOff)
      if isSupervised { throw failure }
      throw BackendError.process(reason)
    }
  }

  /// Processes of the run: as many as cores, at most one a rank.
  private func processCount(_ plan: Plan) throws(Diagnostics) -> Int {
    if let worker = Self.worker { return worker.processes }
    let ranks = plan.pools.map(\.mesh.ranks).min() ?? 1
    guard let processes else {
      return max(1, min(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), ranks, 64))
    }
    guard processes >= 1, processes <= 64 else {
      throw Diagnostics("flag", "'--processes \(processes)'; it is at least 1 and at most 64")
    }
    if processes > ranks && plan == self.plan {
      throw Diagnostics(
        "flag", "'--processes \(processes)' for \(ranks) rank(s); each process has at least one")
    }
    // Survivors of a small plan may be fewer than there were processes.
    return min(processes, ranks)
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
