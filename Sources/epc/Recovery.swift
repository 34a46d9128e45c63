import EPBackendSimGPU
import EPIR
import EPPlan
import EPRuntime

/// How a run with tensors goes on after a fault: what is made, what is left, and what it took.
///
/// The first process keeps every token that was made. It ends all others, and starts as many again: with
/// the same plan where a spare takes the lost device's place or only a process was gone, with one for
/// the survivors otherwise. They load their ranks' weights again, read prompts and tokens again, which
/// brings keys and values back, and go on with the step that broke off.
struct Recovery {
  /// The plan of the devices that are left.
  private(set) var plan: Plan
  /// What is to be made, and what has been.
  private(set) var request: GenerationRequest
  /// Pools that have lost a data group, once for each.
  private(set) var losses: [Int] = []
  /// What went wrong.
  private(set) var reports: [FaultReport] = []
  private var spares: Int
  /// When the latest fault was noticed, weights were loaded again, and which report waits for both.
  private var noticed: ContinuousClock.Instant?
  private var loaded: ContinuousClock.Instant?
  private var open: Range<Int> = 0..<0
  /// Tokens made when a process was last killed without a fault of the schedule.
  private var tokensAtKill = -1
  /// When the latest step ended.
  private var stepped = ContinuousClock.now

  init(plan: Plan, request: GenerationRequest, spares: Int) {
    self.plan = plan
    self.request = request
    self.spares = spares
  }

  /// Tokens made before the latest fault.
  var tokensBefore: Int { request.made.reduce(0) { $0 + $1.tokens.count } }

  /// Takes one data group out of a pool's plan.
  mutating func lose(_ pool: Int) throws(Diagnostics) {
    guard plan.pools.indices.contains(pool), plan.pools[pool].mesh.dp > 1 else {
      throw Diagnostics(
        "recover",
        "no other data group is left to take over; '--spares 1' keeps a device ready")
    }
    plan = try plan.withoutDataGroup(ofPool: pool)
    losses.append(pool)
  }

  // MARK: Faults

  /// Decides how to go on after an attempt broke off, or says why not.
  mutating func take(
    _ failure: NumericRun.Failure, faults: FaultSchedule, recovers: Bool
  ) throws(Diagnostics) {
    // An attempt that broke off before its first step began none.
    let steps = failure.brokenOff?.steps ?? request.stepsBefore
    let broken = max(0, steps - 1)
    var causes = faults.faults.filter { fault in
      fault.kind.isFatal && fault.step == broken
        && plan.pools.contains { fault.rank >= $0.firstRank && fault.rank < $0.endRank }
    }
    if failure.brokenOff == nil { causes = [] }
    if causes.isEmpty && failure.killed.isEmpty { throw Diagnostics("exec", failure.reason) }
    guard recovers else {
      throw Diagnostics(
        "fault",
        (causes.count == 1 ? failure.place(of: causes[0]) : failure.reason)
          + causes.map { "; rank \($0.rank), step \($0.step): \($0.cause)" }.joined()
          + "; '--recover' goes on without it")
    }
    if let brokenOff = failure.brokenOff {
      request.made = brokenOff.made
      request.stepsBefore = steps
    }
    let recomputed = request.made.reduce(0) { sum, result in
      result.tokens.isEmpty || result.tokens.count >= request.count
        ? sum : sum + result.prompt.count + result.tokens.count
    }
    let first = reports.count
    for cause in causes {
      let table = plan.pools.flatMap(\.memory).max { $0.total < $1.total }
      let weights = table.map { $0.denseWeights + $0.expertWeights } ?? 0
      let who: String
      if spares > 0 {
        spares -= 1
        who = "a spare"
      } else {
        let pool =
          plan.pools.firstIndex { cause.rank >= $0.firstRank && cause.rank < $0.endRank } ?? 0
        try lose(pool)
        who = "\(plan.pools[pool].mesh.ranks) survivors"
      }
      // The first to be noticed ends the attempt; others of the step come to light with it.
      let isOther = causes.contains { $0 != cause && failure.reason.hasSuffix(": \($0.cause)") }
      report(
        cause, isOther ? "in the same step" : failure.place(of: cause), failure, by: who, weights,
        recomputed)
    }
    if causes.isEmpty {
      // Whatever kills each process that takes over would do so for ever.
      if tokensBefore == tokensAtKill {
        throw Diagnostics(
          "exec", failure.reason + ", as the one before it was, with nothing made between")
      }
      tokensAtKill = tokensBefore
      // A process is gone, and no device: another one takes its ranks.
      let fault = FaultSchedule.Fault(.lostRank, rank: failure.killed[0], step: broken)
      report(
        fault, failure.place(of: fault), failure, by: "a new process", 0, recomputed)
    }
    open = first..<reports.count
    (noticed, loaded) = (failure.time, nil)
  }

  private mutating func report(
    _ fault: FaultSchedule.Fault, _ place: String, _ failure: NumericRun.Failure, by who: String,
    _ bytes: Int, _ tokens: Int
  ) {
    reports.append(
      FaultReport(
        fault: fault, place: place, noticedAfter: failure.noticedAfter,
        recovery: FaultReport.Recovery(
          by: who, loadedBytes: bytes, loading: 0, recomputedTokens: tokens, recomputing: 0)))
  }

  // MARK: Going on

  /// Gives all processes what has been made.
  mutating func share(in group: WorkerGroup) throws {
    var numbers = [request.stepsBefore]
    for result in request.made { numbers += [result.tokens.count] + result.tokens.map(Int.init) }
    var all = try group.shareOfFirst(numbers)[...]
    if NumericRun.worker == nil { return }
    request.stepsBefore = all.popFirst() ?? 0
    request.made = []
    for prompt in request.prompts {
      guard let count = all.popFirst() else { return }
      var result = PromptResult(prompt: prompt)
      result.tokens = all.prefix(count).map { Int32(truncatingIfNeeded: $0) }
      all = all.dropFirst(count)
      request.made.append(result)
    }
  }

  /// Weights have been loaded.
  mutating func begun() { (loaded, stepped) = (.now, .now) }

  /// A step is done: the first one ends a recovery, and each tells which devices say they are slow.
  mutating func stepped(_ group: WorkerGroup) {
    if let noticed, let loaded {
      for index in open {
        reports[index].recovery?.loading = noticed.duration(to: loaded).inSeconds
        reports[index].recovery?.recomputing = loaded.duration(to: .now).inSeconds
      }
      self.noticed = nil
    }
    let took = stepped.duration(to: .now).inSeconds
    stepped = .now
    for slow in group.slowRanks
    where !reports.contains(where: { $0.fault.rank == slow.rank && $0.fault.kind == slow.kind }) {
      let fault = group.faults.schedule.faults.first {
        $0.rank == slow.rank && $0.kind == slow.kind
      }
      reports.append(
        FaultReport(
          fault: FaultSchedule.Fault(
            slow.kind, rank: slow.rank, step: fault?.step ?? 0, factor: slow.factor),
          place: "its device says so", noticedAfter: took))
    }
  }

  /// The result of the last attempt, with counts of all.
  func whole(_ result: GenerationResult) -> GenerationResult {
    var result = result
    result.statistics.tokens = result.prompts.reduce(0) { $0 + $1.tokens.count }
    return result
  }
}

extension NumericRun.Failure {
  /// Where a fault was noticed: what was said, without the cause.
  func place(of fault: FaultSchedule.Fault) -> String {
    let end = ": \(fault.cause)"
    return reason.hasSuffix(end) ? String(reason.dropLast(end.count)) : reason
  }
}

extension Pool {
  /// The cluster's rank behind the pool's last.
  fileprivate var endRank: Int { firstRank + mesh.ranks }
}

extension Duration {
  fileprivate var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
