/// Finds the shortest period of a loop body.
///
/// Deterministic: its effort is counted in steps, not in time. A period that equals the bound of
/// resources or dependencies is proven the shortest at once; otherwise an exhaustive search at the
/// periods between proves as much as its effort allows, and the result says how far it came.
public struct LoopSolver: Sendable {
  /// Elementary steps to spend, a few nanoseconds each.
  public var effort: Int

  /// Makes a solver.
  public init(effort: Int = 400_000) { self.effort = effort }

  /// A schedule of the body; nil where its jobs wait for each other in a circle.
  public func solve(_ body: LoopBody) -> ModuloSchedule? {
    guard let bounds = body.bounds, let listed = ListSchedule.starts(body) else { return nil }
    let floor = max(bounds.period, 1)
    let loose = LoopSolver.loosePeriod(body, listed)
    let (period, starts) = ListSchedule.tightened(
      body, starts: listed, period: loose, atLeast: floor)
    var best = Best(period: period, starts: starts, proven: floor)
    var work = 0
    if best.period > floor, let folding = Folding(body) {
      solve(folding, of: body, &best, &work)
    }
    // A thousandth is as near as durations are known.
    if best.period - floor > floor >> 10 || effort > 0 && best.period < 1 << 10 {
      refine(body, &best, &work, effort)
    }
    let first = best.starts.min() ?? 0
    return ModuloSchedule(
      period: best.period, starts: best.starts.map { $0 - first }, bounds: bounds,
      lowerBound: body.jobs.isEmpty ? best.period : best.proven)
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

  /// Seeks a schedule in which all micro-batches run alike.
  private func solve(
    _ folding: Folding, of body: LoopBody, _ best: inout Best, _ work: inout Int
  ) {
    guard let bounds = folding.body.bounds, let listed = ListSchedule.starts(folding.body) else {
      return
    }
    let floor = max(bounds.period, 1)
    let (period, starts) = ListSchedule.tightened(
      folding.body, starts: listed, period: LoopSolver.loosePeriod(folding.body, listed),
      atLeast: floor)
    var folded = Best(period: period, starts: starts, proven: floor)
    refine(folding.body, &folded, &work, effort / 2)
    let whole = ListSchedule.tightened(
      body, starts: folding.starts(of: folded.starts, period: folded.period),
      period: folded.period * folding.count, atLeast: best.proven)
    if whole.period < best.period { (best.period, best.starts) = whole }
  }

  /// The most jobs that a search is worth its cost for.
  private static let mostJobs = 48

  /// Seeks shorter periods with the jobs joined, coarse to fine; last with the body itself if it is
  /// small enough.
  private func refine(_ body: LoopBody, _ best: inout Best, _ work: inout Int, _ limit: Int) {
    var count = 0
    for pieces in [1, 2, 3, 4] where best.period > best.proven {
      guard let level = Grouping(body, pieces: pieces) else { continue }
      let jobs = level.body.jobs.count
      if jobs >= body.jobs.count || jobs > LoopSolver.mostJobs { break }
      if jobs == count { continue }
      count = jobs
      // Later levels are finer and cost more.
      refine(body, level, &best, &work, work + (limit - work) / 3)
    }
    if best.period > best.proven && body.jobs.count <= LoopSolver.mostJobs {
      refine(body, Grouping(body), &best, &work, limit)
    }
  }

  /// Seeks shorter periods with the jobs of one level, dividing the range that is left.
  private func refine(
    _ body: LoopBody, _ level: Grouping, _ best: inout Best, _ work: inout Int, _ limit: Int
  ) {
    let isWhole = level.body.jobs.count == body.jobs.count
    var low = best.proven
    var next = low
    while best.period > low && work < limit {
      // Half of what is left for each period: where one is hard to decide, a longer one may not be.
      var search = OrderSearch(
        level.body, period: next, work: work, limit: work + max((limit - work) / 2, 2_000))
      let found = search.run()
      work = search.work
      if let found {
        let tight = ListSchedule.tightened(
          level.body, starts: found, period: next, atLeast: best.proven)
        (best.period, best.starts) = (tight.period, level.starts(of: tight.starts))
      } else {
        if isWhole && !search.isCutShort { best.proven = max(best.proven, next + 1) }
        low = next + 1
      }
      if best.period - low <= low >> 10 && next > low { break }
      next = low + (best.period - 1 - low) / 4
    }
  }
}
