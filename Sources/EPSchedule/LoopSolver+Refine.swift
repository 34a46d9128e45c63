/// Searching orders, coarse to fine.
extension LoopSolver {
  /// The most jobs that a search is worth its cost for.
  private static let mostJobs = 48

  /// Seeks shorter periods with the jobs joined, coarse to fine; last with the body itself if it is
  /// small enough.
  ///
  /// A period next to the bound is tried with all levels before longer ones are with any: where finer
  /// jobs reach it, that takes less time than finding out how near coarse ones come.
  func refine(_ body: LoopBody, _ best: inout Incumbent, _ work: inout Int, _ limit: Int) {
    var levels: [Grouping] = []
    for pieces in [1, 2, 3, 4, 0] where !best.isNear {
      let joined = pieces > 0 ? Grouping(body, pieces: pieces) : Grouping(body)
      // Joined jobs keep their order even where each is alone again: only the body itself is whole.
      guard let level = joined, level.body.jobs.count <= LoopSolver.mostJobs,
        level.body.jobs.count > levels.last?.body.jobs.count ?? 0,
        pieces == 0 || level.body.jobs.count < body.jobs.count
      else { continue }
      levels.append(level)
      let near = best.proven + best.proven >> 10
      _ = seek(near, level, body, &best, &work, work + (limit - work) / 4)
    }
    for (index, level) in levels.enumerated() where !best.isNear {
      let isLast = index + 1 == levels.count
      narrow(body, level, &best, &work, isLast ? limit : work + (limit - work) / 3)
    }
  }

  /// Seeks a schedule of one period with the jobs of one level; false where there is none, or none
  /// was found.
  private func seek(
    _ period: Int, _ level: Grouping, _ body: LoopBody, _ best: inout Incumbent,
    _ work: inout Int, _ limit: Int
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
    _ body: LoopBody, _ level: Grouping, _ best: inout Incumbent, _ work: inout Int, _ limit: Int
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
