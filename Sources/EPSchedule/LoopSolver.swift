/// Finds the shortest period of a loop body.
///
/// Deterministic: its effort is counted in steps, not in time. A period that equals the bound of
/// resources or dependencies is proven the shortest at once; otherwise an exhaustive search at the
/// periods between proves as much as its effort allows, and the result says how far it came.
public struct LoopSolver: Sendable {
  /// Elementary steps to spend, a few nanoseconds each.
  public var effort: Int

  /// Whether jobs that share a resource run in the same order in all micro-batches, where those are
  /// alike: one program then serves them all.
  public var ordersAlike: Bool

  /// Makes a solver.
  public init(effort: Int = 1_000_000, ordersAlike: Bool = false) {
    self.effort = effort
    self.ordersAlike = ordersAlike
  }

  /// A schedule of the body; nil where its jobs wait for each other in a circle.
  public func solve(_ body: LoopBody) -> ModuloSchedule? {
    let body = body.withImpliedDelays
    guard let bounds = body.boundsOfDelays, var best = LoopSolver.listed(body, bounds) else {
      return nil
    }
    var work = 0
    let folding = Folding(body)
    if let folding, var folded = LoopSolver.listed(folding.body) {
      if ordersAlike || best.period > best.proven {
        refine(folding.body, &folded, &work, effort / 4)
        let whole = ListSchedule.tightened(
          body, starts: folding.starts(of: folded.starts, period: folded.period),
          period: folded.period * folding.count, atLeast: best.proven)
        if ordersAlike || whole.period < best.period { (best.period, best.starts) = whole }
      }
      if !LoopSolver.isNear(best) { iterate(body, folding, &best, &work) }
      if !LoopSolver.isNear(best) { cross(body, folding, &best, &work) }
      if ordersAlike && !LoopSolver.isNear(best) {
        let ordered = folding.ordered(body, by: folded.starts)
        var uneven = Best(period: best.period, starts: best.starts, proven: best.proven)
        for rule in GreedySimulation.Rule.allCases {
          simulate(ordered, rule, &uneven)
          if let free = GreedySimulation.run(body, rule), free.period < uneven.period,
            folding.ordersAreAlike(free.starts, in: body)
          {
            (uneven.period, uneven.starts) = free
          }
        }
        refine(ordered, &uneven, &work, effort)
        (best.period, best.starts) = (uneven.period, uneven.starts)
      }
    }
    if !(ordersAlike && folding != nil) && !LoopSolver.isNear(best) {
      for rule in GreedySimulation.Rule.allCases { simulate(body, rule, &best) }
    }
    if !(ordersAlike && folding != nil) && !LoopSolver.isNear(best) {
      refine(body, &best, &work, effort)
    }
    let first = best.starts.min() ?? 0
    return ModuloSchedule(
      period: best.period, starts: best.starts.map { $0 - first }, bounds: bounds,
      lowerBound: body.jobs.isEmpty ? best.period : best.proven)
  }

  /// Takes what iterative scheduling finds of one micro-batch, if it is shorter: at the bound, or as
  /// little above it as will do.
  private func iterate(
    _ body: LoopBody, _ folding: Folding, _ best: inout Best, _ work: inout Int
  ) {
    for share in [0, 3, 10, 20, 40, 80, 160, 320] {
      let target = best.proven + best.proven / 1000 * share
      if work > effort || target >= best.period - best.period >> 9 { return }
      let period = (target + folding.count - 1) / folding.count
      guard var schedule = IterativeSchedule(folding.body, period: period) else { continue }
      let found = schedule.run(tries: 8)
      work += schedule.work
      guard let found else { continue }
      let whole = ListSchedule.tightened(
        body, starts: folding.starts(of: found, period: period),
        period: period * folding.count, atLeast: best.proven)
      if whole.period < best.period { (best.period, best.starts) = whole }
      return
    }
  }

  /// Takes the shortest of the ways in which two micro-batches pass each other, if it is shorter.
  private func cross(_ body: LoopBody, _ folding: Folding, _ best: inout Best, _ work: inout Int) {
    guard work < effort, var orders = CrossingOrders(body, folding) else { return }
    let found = orders.shortest(atLeast: best.proven, limit: (effort - work) / 2)
    // Its steps take about twice as long as those of the search.
    work += 2 * orders.work
    guard let found, found.period < best.period,
      folding.ordersAreAlike(found.starts, in: body)
    else { return }
    (best.period, best.starts) = found
  }

  /// Takes the schedule that a body falls into by itself, if it is shorter.
  private func simulate(_ body: LoopBody, _ rule: GreedySimulation.Rule, _ best: inout Best) {
    guard effort > 0, let found = GreedySimulation.run(body, rule) else { return }
    let tight = ListSchedule.tightened(
      body, starts: found.starts, period: found.period, atLeast: best.proven)
    if tight.period < best.period { (best.period, best.starts) = tight }
  }

  /// Whether a schedule is as near to the bound as durations are known: a thousandth.
  private static func isNear(_ best: Best) -> Bool {
    best.period - best.proven <= best.proven >> 10
  }

  /// The list schedule of a body.
  private static func listed(_ body: LoopBody, _ known: PeriodBounds? = nil) -> Best? {
    guard let bounds = known ?? body.boundsOfDelays, let listed = ListSchedule.starts(body) else {
      return nil
    }
    let floor = max(bounds.period, 1)
    let (period, starts) = ListSchedule.tightened(
      body, starts: listed, period: loosePeriod(body, listed), atLeast: floor)
    return Best(period: period, starts: starts, proven: floor)
  }

  private struct Best {
    var period: Int
    var starts: [Int]
    /// No period below this one will do.
    var proven: Int
  }

  /// A period at which iterations do not touch each other.
  private static func loosePeriod(_ body: LoopBody, _ starts: [Int]) -> Int {
    let end = zip(starts, body.jobs).reduce(1) { max($0, $1.0 + $1.1.duration) }
    return body.dependencies.reduce(end) { max($0, starts[$1.from] + $1.delay) }
  }

  /// The most jobs that a search is worth its cost for.
  private static let mostJobs = 48

  /// Seeks shorter periods with the jobs joined, coarse to fine; last with the body itself if it is
  /// small enough.
  ///
  /// A period next to the bound is tried with all levels before longer ones are with any: where finer
  /// jobs reach it, that takes less time than finding out how near coarse ones come.
  private func refine(_ body: LoopBody, _ best: inout Best, _ work: inout Int, _ limit: Int) {
    var levels: [Grouping] = []
    for pieces in [1, 2, 3, 4, 0] where !LoopSolver.isNear(best) {
      let joined = pieces > 0 ? Grouping(body, pieces: pieces) : Grouping(body)
      // Joined jobs keep their order even where each is alone again: only the body itself is whole.
      guard let level = joined, level.body.jobs.count <= LoopSolver.mostJobs,
        level.body.jobs.count > levels.last?.body.jobs.count ?? 0,
        pieces == 0 || level.body.jobs.count < body.jobs.count
      else { continue }
      levels.append(level)
      let near = best.proven + best.proven >> 10
      _ = seek(near, level, body, &best, &work, work + (limit - work) / 6)
    }
    for (index, level) in levels.enumerated() where !LoopSolver.isNear(best) {
      let isLast = index + 1 == levels.count
      narrow(body, level, &best, &work, isLast ? limit : work + (limit - work) / 3)
    }
  }

  /// Seeks a schedule of one period with the jobs of one level; false where there is none, or none
  /// was found.
  private func seek(
    _ period: Int, _ level: Grouping, _ body: LoopBody, _ best: inout Best, _ work: inout Int,
    _ limit: Int
  ) -> Bool {
    if work >= limit { return false }
    var search = OrderSearch(level.body, period: period, work: work, limit: limit)
    let found = search.run()
    work = search.work
    guard let found else {
      let isWhole = level.body.jobs.count == body.jobs.count
      if isWhole && !search.isCutShort { best.proven = max(best.proven, period + 1) }
      return false
    }
    let tight = ListSchedule.tightened(
      level.body, starts: found, period: period, atLeast: best.proven)
    (best.period, best.starts) = (tight.period, level.starts(of: tight.starts))
    return true
  }

  /// Seeks shorter periods with the jobs of one level, dividing the range that is left.
  private func narrow(
    _ body: LoopBody, _ level: Grouping, _ best: inout Best, _ work: inout Int, _ limit: Int
  ) {
    var low = best.proven
    while work < limit {
      let next = low + (best.period - 1 - low) / 4
      if next < low || best.period - low <= low >> 10 { return }
      // Half of what is left for each period: where one is hard to decide, a longer one may not be.
      if !seek(next, level, body, &best, &work, work + max((limit - work) / 2, 2_000)) {
        low = next + 1
      }
    }
  }
}
