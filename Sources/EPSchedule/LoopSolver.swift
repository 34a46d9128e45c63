/// Finds the shortest period of a loop body.
///
/// Deterministic: its effort is counted in steps, not in time. A period that equals the bound of
/// resources or dependencies is proven the shortest at once; otherwise periods between are refuted or
/// found as far as its effort allows, and the result says how far it came.
public struct LoopSolver: Sendable {
  /// Elementary steps to spend on each of bounding and searching, a few nanoseconds each.
  public var effort: Int

  /// Whether jobs that share a resource run in the same order in all micro-batches, where those are
  /// alike: one program then serves them all.
  public var ordersAlike: Bool

  /// Makes a solver.
  public init(effort: Int = 5_000_000, ordersAlike: Bool = false) {
    self.effort = effort
    self.ordersAlike = ordersAlike
  }

  /// A schedule of the body; nil where its jobs wait for each other in a circle.
  public func solve(_ body: LoopBody) -> ModuloSchedule? {
    let body = body.withImpliedDelays
    guard let bounds = body.boundsOfDelays, var best = Incumbent(listed: body, bounds) else {
      return nil
    }
    var work = 0
    if let folding = Folding(body) {
      solveAlike(body, folding, &best, &work)
      if !ordersAlike { solveFreely(body, &best, &work, effort) }
    } else {
      if !best.isNear { raise(body, &best) }
      // Jobs of one micro-batch are few, and there is nothing else to look at.
      solveFreely(body, &best, &work, 3 * effort)
      if !best.isNear { swap(body, &best) }
      if !best.isNear { iterate(body, nil, &best, &work) }
    }
    let first = best.starts.min() ?? 0
    return ModuloSchedule(
      period: best.period, starts: best.starts.map { $0 - first }, bounds: bounds,
      lowerBound: body.jobs.isEmpty ? best.period : best.proven)
  }

  /// Seeks schedules in which micro-batches that are alike run alike: each a share of the period
  /// behind the one before, or passing each other, or in the order of one of these.
  private func solveAlike(
    _ body: LoopBody, _ folding: Folding, _ best: inout Incumbent, _ work: inout Int
  ) {
    guard ordersAlike || !best.isProven, var folded = Incumbent(listed: folding.body) else {
      return
    }
    refine(folding.body, &folded, &work, effort / 2)
    let whole = folding.tightened(
      body, starts: folded.starts, period: folded.period, atLeast: best.proven)
    // The list schedule's orders need not be alike.
    if ordersAlike || whole.period < best.period { (best.period, best.starts) = whole }
    if !best.isNear { iterate(body, folding, &best, &work) }
    if !best.isNear { raise(body, &best) }
    if !best.isNear { cross(body, folding, &best, &work) }
    guard ordersAlike && !best.isNear else { return }
    run(body, folding, inOrderOf: folded.starts, &best, &work, effort)
    if best.isNear { return }
    // Each order of a micro-batch in a schedule in which they need not be alike.
    var free = best
    solveFreely(body, &free, &work, work + effort)
    best.proven = max(best.proven, free.proven)
    for turn in 0..<folding.count where free.period < best.period && !best.isNear {
      let own = folding.starts(ofTurn: turn, in: free.starts)
      run(body, folding, inOrderOf: own, &best, &work, work + effort)
    }
  }

  /// Seeks schedules in which all micro-batches run in an order that one of them has.
  private func run(
    _ body: LoopBody, _ folding: Folding, inOrderOf starts: [Int], _ best: inout Incumbent,
    _ work: inout Int, _ limit: Int
  ) {
    let ordered = folding.ordered(body, by: starts)
    for rule in GreedySimulation.Rule.allCases {
      simulate(ordered, rule, &best)
      if let free = GreedySimulation.run(body, rule), free.period < best.period,
        folding.ordersAreAlike(free.starts, in: body)
      {
        (best.period, best.starts) = free
      }
    }
    // What holds for one order of jobs holds for no other.
    let proven = best.proven
    refine(ordered, &best, &work, limit)
    best.proven = proven
  }

  /// Seeks any schedules.
  private func solveFreely(
    _ body: LoopBody, _ best: inout Incumbent, _ work: inout Int, _ limit: Int
  ) {
    if best.isNear { return }
    for rule in GreedySimulation.Rule.allCases { simulate(body, rule, &best) }
    refine(body, &best, &work, limit)
  }
}

/// The shortest schedule found so far, and how far it is from the bound.
struct Incumbent {
  var period: Int
  var starts: [Int]
  /// No period below this one will do.
  var proven: Int

  /// Whether no schedule is shorter.
  var isProven: Bool { period <= proven }

  /// Whether the schedule is as near to the bound as durations are known: a thousandth.
  var isNear: Bool { period - proven <= proven >> 10 }

  /// The list schedule of a body; nil where there is none.
  init?(listed body: LoopBody, _ known: PeriodBounds? = nil) {
    guard let bounds = known ?? body.boundsOfDelays, let listed = ListSchedule.starts(body) else {
      return nil
    }
    proven = max(bounds.period, 1)
    // Iterations that do not touch each other.
    let end = zip(listed, body.jobs).reduce(1) { max($0, $1.0 + $1.1.duration) }
    let loose = body.dependencies.reduce(end) { max($0, listed[$1.from] + $1.delay) }
    (period, starts) = ListSchedule.tightened(
      body, starts: listed, period: loose, atLeast: proven)
  }
}
