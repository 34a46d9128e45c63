/// The ways to a schedule or a bound that are no search of orders.
extension LoopSolver {
  /// Raises the bound to the longest period that can be shown to be too short.
  func raise(_ body: LoopBody, _ best: inout Incumbent) {
    guard effort > 0, body.jobs.count <= PeriodRefutation.mostJobs else { return }
    // Without what micro-batches wait for each other with, which they hardly do; any schedule is one
    // of the body without it.
    var apart = LoopBody(resources: body.resources)
    for job in body.jobs { apart.add(job) }
    for dependency in body.dependencies
    where body.jobs[dependency.from].batch == body.jobs[dependency.to].batch {
      apart.add(dependency)
    }
    var high = best.period
    var work = 0
    while high - best.proven > best.proven >> 10 && work < effort {
      let middle = best.proven + (high - best.proven) / 2
      var refutation = PeriodRefutation(apart, period: middle, limit: effort / 2)
      if refutation.succeeds() { best.proven = middle + 1 } else { high = middle }
      work += refutation.work
    }
  }

  /// Takes what iterative scheduling finds, if it is shorter: at the bound, or as little above it as
  /// will do. Micro-batches that are alike are scheduled as one.
  func iterate(
    _ body: LoopBody, _ folding: Folding?, _ best: inout Incumbent, _ work: inout Int
  ) {
    for share in [0, 3, 10, 20, 40, 80, 160, 320] {
      let target = best.proven + best.proven / 1000 * share
      if work > effort || target >= best.period - best.period >> 9 { return }
      let count = folding?.count ?? 1
      let period = (target + count - 1) / count
      guard var schedule = IterativeSchedule(folding?.body ?? body, period: period) else {
        continue
      }
      let found = schedule.run(tries: 8)
      work += schedule.work
      guard let found else { continue }
      let whole =
        folding?.tightened(body, starts: found, period: period, atLeast: best.proven)
        ?? ListSchedule.tightened(body, starts: found, period: period, atLeast: best.proven)
      if whole.period < best.period { (best.period, best.starts) = whole }
      return
    }
  }

  /// Takes the shortest of the ways in which two micro-batches pass each other, if it is shorter.
  func cross(_ body: LoopBody, _ folding: Folding, _ best: inout Incumbent, _ work: inout Int) {
    guard work < effort, var orders = CrossingOrders(body, folding) else { return }
    let found = orders.shortest(atLeast: best.proven, limit: (effort - work) / 2)
    // Its steps take about twice as long as those of the search.
    work += 2 * orders.work
    guard let found, found.period < best.period,
      folding.ordersAreAlike(found.starts, in: body)
    else { return }
    (best.period, best.starts) = found
  }

  /// Exchanges neighbours on a resource while that shortens the period.
  func swap(_ body: LoopBody, _ best: inout Incumbent) {
    guard effort > 0 else { return }
    var swaps = OrderSwaps(body, starts: best.starts, period: best.period)
    let found = swaps.improved(atLeast: best.proven, rounds: 100)
    if let found, found.period < best.period { (best.period, best.starts) = found }
  }

  /// Takes the schedule that a body falls into by itself, if it is shorter.
  func simulate(_ body: LoopBody, _ rule: GreedySimulation.Rule, _ best: inout Incumbent) {
    guard effort > 0, let found = GreedySimulation.run(body, rule) else { return }
    let tight = ListSchedule.tightened(
      body, starts: found.starts, period: found.period, atLeast: best.proven)
    if tight.period < best.period { (best.period, best.starts) = tight }
  }
}
