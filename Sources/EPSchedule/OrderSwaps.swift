/// Shortens the period of an order by letting neighbours on a resource change places.
///
/// Only where one follows the other on the circle that determines the period, since nothing else can
/// shorten it; and where there are several micro-batches only jobs of different ones, so that each
/// runs as before.
struct OrderSwaps {
  private struct Place {
    var job: Int
    /// The period its start lies in.
    var lap: Int
  }

  private let body: LoopBody
  private let fixed: PeriodArcs
  private let isOneBatch: Bool
  private var sequences: [[Place]]
  /// Elementary steps taken.
  private(set) var work = 0

  init(_ body: LoopBody, starts: [Int], period: Int) {
    self.body = body
    fixed = PeriodArcs(body)
    isOneBatch = Set(body.jobs.map(\.batch)).count == 1
    sequences = (0..<body.resources).map { resource in
      body.jobs.indices.filter {
        body.jobs[$0].resource == resource && body.jobs[$0].duration > 0
      }.sorted { (starts[$0].phase(period), $0) < (starts[$1].phase(period), $1) }
        .map { Place(job: $0, lap: starts[$0].floorDivided(by: period)) }
    }
  }

  /// The shortest period found, and starts; nil where the order meets no dependencies.
  ///
  /// Each round takes the best swap even where it is worse, other than one that was just made.
  mutating func improved(atLeast least: Int, rounds: Int) -> (period: Int, starts: [Int])? {
    guard var current = arcs().smallestPeriod(atLeast: least) else { return nil }
    var best = current
    var last: Set<[Int]> = []
    for _ in 0..<rounds where best.period > least + least >> 10 {
      let arcs = arcs()
      guard let circle = arcs.circle(current.period - 1) else { break }
      var chosen: (resource: Int, place: Int, period: Int, starts: [Int])?
      for number in circle where number >= fixed.arcs.count {
        let (resource, place) = self.place(number - fixed.arcs.count)
        let sequence = sequences[resource]
        let (a, b) = (sequence[place].job, sequence[(place + 1) % sequence.count].job)
        if !isOneBatch && body.jobs[a].batch == body.jobs[b].batch || last.contains([b, a]) {
          continue
        }
        swap(resource, place)
        let found = self.arcs().smallestPeriod(atLeast: least)
        work += 48 * body.dependencies.count
        swap(resource, place)
        if let found, found.period < chosen?.period ?? .max {
          chosen = (resource, place, found.period, found.starts)
        }
      }
      guard let chosen else { break }
      let sequence = sequences[chosen.resource]
      last.insert([
        sequence[chosen.place].job, sequence[(chosen.place + 1) % sequence.count].job,
      ])
      swap(chosen.resource, chosen.place)
      current = (chosen.period, chosen.starts)
      if current.period < best.period { best = current }
    }
    return best
  }

  private func arcs() -> PeriodArcs {
    var arcs = fixed
    for sequence in sequences where sequence.count > 1 {
      for (index, place) in sequence.enumerated() {
        let isLast = index + 1 == sequence.count
        let next = sequence[isLast ? 0 : index + 1]
        arcs.arcs.append(
          Arc(
            from: place.job, to: next.job, delay: body.jobs[place.job].duration,
            distance: place.lap - next.lap + (isLast ? 1 : 0)))
      }
    }
    return arcs
  }

  /// Where an arc of `arcs()` begins that is none of the body's.
  private func place(_ number: Int) -> (resource: Int, place: Int) {
    var left = number
    for (resource, sequence) in sequences.enumerated() where sequence.count > 1 {
      if left < sequence.count { return (resource, left) }
      left -= sequence.count
    }
    return (0, 0)
  }

  /// Exchanges a place and the next; behind the last place comes the first of the next period.
  private mutating func swap(_ resource: Int, _ place: Int) {
    let count = sequences[resource].count
    if place + 1 < count {
      sequences[resource].swapAt(place, place + 1)
    } else {
      sequences[resource].swapAt(0, place)
      sequences[resource][0].lap += 1
      sequences[resource][place].lap -= 1
    }
  }
}
