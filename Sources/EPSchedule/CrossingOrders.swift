/// Orders of two micro-batches that are alike, by `CrossingPaths`: one set of paths for each order in
/// which a micro-batch alone may run its jobs.
struct CrossingOrders {
  private let folding: Folding
  private let whole: LoopBody
  /// Jobs joined to as many pieces as paths tell apart.
  private let pieces: Grouping
  /// The whole body of pieces: those of the second micro-batch behind those of the first.
  private let joined: LoopBody
  /// Elementary steps taken.
  private(set) var work = 0

  /// The most orders of one micro-batch that are tried.
  private static let mostOrders = 12
  /// The most paths of each order whose true period is found.
  private static let mostPaths = 2
  /// The most rounds of swaps.
  private static let rounds = 24

  /// nil where there are not two micro-batches, or too many jobs.
  init?(_ whole: LoopBody, _ folding: Folding) {
    guard folding.count == 2, let pieces = Grouping(folding.body, pieces: 4),
      pieces.body.jobs.count <= 48
    else { return nil }
    (self.folding, self.whole, self.pieces) = (folding, whole, pieces)
    let count = pieces.body.jobs.count
    var joined = LoopBody(resources: whole.resources)
    for turn in 0..<2 {
      for job in pieces.body.jobs {
        joined.add(LoopBody.Job(duration: job.duration, resource: job.resource, batch: turn))
      }
    }
    var seen: Set<LoopBody.Dependency> = []
    for dependency in whole.dependencies {
      let (from, to) = (folding.like[dependency.from], folding.like[dependency.to])
      let (a, b) = (pieces.group[from.job], pieces.group[to.job])
      let delay = pieces.offset[from.job] + dependency.delay - pieces.offset[to.job]
      if a == b && from.turn == to.turn && dependency.distance == 0 && delay <= 0 { continue }
      let made = LoopBody.Dependency(
        from: from.turn * count + a, to: to.turn * count + b, delay: max(delay, 0),
        distance: dependency.distance)
      if seen.insert(made).inserted { joined.add(made) }
    }
    // Pieces keep their order.
    for dependency in pieces.body.dependencies where dependency.distance == 0 {
      for base in [0, count] {
        let made = LoopBody.Dependency(
          from: base + dependency.from, to: base + dependency.to, delay: dependency.delay,
          distance: 0)
        if seen.insert(made).inserted { joined.add(made) }
      }
    }
    self.joined = joined
  }

  /// The shortest schedule of the whole body that was found; nil where there was none.
  mutating func shortest(atLeast least: Int, limit: Int) -> (period: Int, starts: [Int])? {
    var best: (period: Int, starts: [Int])?
    for order in orders() {
      if work >= limit || (best?.period ?? .max) <= least + least >> 10 { break }
      guard let alone = alone(order),
        var paths = CrossingPaths(pieces.body, starts: alone.starts, length: alone.period)
      else { continue }
      let found = paths.shortest(CrossingOrders.mostPaths)
      work += 4 * paths.work
      for way in found where work < limit {
        // Swaps shorten a path by little.
        if let best, best.period <= way.period - way.period >> 4 { continue }
        var swaps = OrderSwaps(joined, starts: way.first + way.second, period: way.period)
        guard let near = swaps.improved(atLeast: least, rounds: CrossingOrders.rounds) else {
          continue
        }
        work += swaps.work
        let count = pieces.body.jobs.count
        let starts = folding.starts(ofEach: [
          pieces.starts(of: Array(near.starts[..<count])),
          pieces.starts(of: Array(near.starts[count...])),
        ])
        let tight = ListSchedule.tightened(
          whole, starts: starts, period: near.period, atLeast: least)
        if tight.period < best?.period ?? .max { best = tight }
      }
    }
    return best
  }

  /// One micro-batch by itself with its jobs in an order: starts, and ticks from layer to layer.
  private func alone(_ rank: [Int]) -> (period: Int, starts: [Int])? {
    var arcs = PeriodArcs(pieces.body)
    for index in arcs.arcs.indices { arcs.arcs[index].distance /= folding.count }
    for resource in 0..<pieces.body.resources {
      let own = pieces.body.jobs.indices.filter { pieces.body.jobs[$0].resource == resource }
        .sorted { (rank[$0], $0) < (rank[$1], $1) }
      for (index, job) in own.enumerated() {
        let isLast = index + 1 == own.count
        arcs.arcs.append(
          Arc(
            from: job, to: own[isLast ? 0 : index + 1], delay: pieces.body.jobs[job].duration,
            distance: isLast ? 1 : 0))
      }
    }
    return arcs.smallestPeriod(atLeast: 1)
  }

  /// Orders of one micro-batch's pieces, as a rank of each, that differ on some resource. Pieces
  /// that stand in the same relation to exchanges stay together.
  private func orders() -> [[Int]] {
    guard let lots = Grouping(folding.body, pieces: 1) else { return [] }
    let body = lots.body
    var lotOf = Array(repeating: 0, count: pieces.body.jobs.count)
    for job in folding.body.jobs.indices { lotOf[pieces.group[job]] = lots.group[job] }
    var before = Array(repeating: 0, count: body.jobs.count)
    for dependency in body.dependencies where dependency.distance == 0 {
      before[dependency.to] += 1
    }
    var ranks: [[Int]] = []
    var seen: Set<[Int]> = []
    var sequence: [Int] = []
    var steps = 0
    func extend() {
      steps += 1
      if ranks.count >= CrossingOrders.mostOrders || steps > 2_000 { return }
      if sequence.count == body.jobs.count {
        let key = (0..<body.resources).flatMap { resource in
          sequence.filter { body.jobs[$0].resource == resource } + [-1]
        }
        if !seen.insert(key).inserted { return }
        var rank = Array(repeating: 0, count: body.jobs.count)
        for (place, lot) in sequence.enumerated() { rank[lot] = place }
        ranks.append(lotOf.map { rank[$0] })
        return
      }
      for lot in body.jobs.indices where before[lot] == 0 {
        before[lot] = -1
        for dependency in body.dependencies where dependency.from == lot && dependency.distance == 0
        {
          before[dependency.to] -= 1
        }
        sequence.append(lot)
        extend()
        sequence.removeLast()
        for dependency in body.dependencies where dependency.from == lot && dependency.distance == 0
        {
          before[dependency.to] += 1
        }
        before[lot] = 0
      }
    }
    extend()
    return ranks
  }
}
