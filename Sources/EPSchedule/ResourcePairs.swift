/// The pairs of jobs that share a resource, and how many periods apart each pair may run.
///
/// Two jobs `i` and `j` of a resource do not collide in any iteration if and only if for some whole
/// `k`: `duration(i) + k * period <= start(j) - start(i) <= (k + 1) * period - duration(j)`. Once `k` is
/// fixed for a pair what is left are differences.
struct ResourcePairs {
  let body: LoopBody
  let period: Int
  private(set) var pairs: [(first: Int, second: Int)] = []

  /// Distances between all jobs and the pairs whose `k` is fixed.
  struct State {
    var distances: Distances
    var isDecided: [Bool]
  }

  /// The pairs of the jobs given, long jobs first: they are the hardest to place.
  init(_ body: LoopBody, period: Int, among jobs: [Int]) {
    self.body = body
    self.period = period
    for (place, first) in jobs.enumerated() where body.jobs[first].duration > 0 {
      for second in jobs[(place + 1)...]
      where body.jobs[second].resource == body.jobs[first].resource
        && body.jobs[second].duration > 0
      { pairs.append((first, second)) }
    }
    pairs.sort {
      let a = body.jobs[$0.0].duration + body.jobs[$0.1].duration
      let b = body.jobs[$1.0].duration + body.jobs[$1.1].duration
      return (b, $0.0, $0.1) < (a, $1.0, $1.1)
    }
  }

  /// What dependencies say; nil where they cannot be met at this period.
  func initial() -> State? {
    let count = body.jobs.count
    if period <= 0 || body.jobs.contains(where: { $0.duration > period }) { return nil }
    // A job can be moved by whole periods as far as its dependencies let it, so that none need lie
    // further from another than the longest chain of delays and distances.
    let longest = body.dependencies.reduce(1) { max($0, $1.delay / period + $1.distance + 2) }
    let reach = (longest * count + 1) * period
    var distances = Distances(count: count, period: period, reach: reach)
    for dependency in body.dependencies {
      let ticks = dependency.delay - dependency.distance * period
      if !distances.add(from: dependency.from, to: dependency.to, ticks) { return nil }
    }
    // Parts of the body that do not wait for each other can be moved against each other by whole
    // periods: fix which iterations meet.
    var part = Array(0..<count)
    for dependency in body.dependencies {
      let (a, b) = (part[dependency.from], part[dependency.to])
      if a != b { for job in 0..<count where part[job] == b { part[job] = a } }
    }
    for job in 0..<count where part[job] == job && part[0] != job {
      if !distances.add(from: part[0], to: job, 0)
        || !distances.add(from: job, to: part[0], 1 - period)
      {
        return nil
      }
    }
    return State(distances: distances, isDecided: Array(repeating: false, count: pairs.count))
  }

  /// Fixes the `k` of a pair; false where that cannot be met.
  func decide(_ pair: Int, _ k: Int, _ state: inout State) -> Bool {
    let (first, second) = pairs[pair]
    let (a, b) = (body.jobs[first].duration, body.jobs[second].duration)
    state.isDecided[pair] = true
    return state.distances.add(from: first, to: second, a + k * period)
      && state.distances.add(from: second, to: first, b - (k + 1) * period)
  }

  /// How many values of `k` distances leave a pair, and the least of them.
  func choices(_ pair: Int, _ state: State) -> (count: Int, least: Int) {
    let (first, second) = pairs[pair]
    let (a, b) = (body.jobs[first].duration, body.jobs[second].duration)
    let low = state.distances.least(from: first, to: second)
    let high = -state.distances.least(from: second, to: first)
    let k = (low + b).ceilingDivided(by: period) - 1
    return (max(0, (high - a).floorDivided(by: period) - k + 1), k)
  }

  /// How far a pair can move with one `k`.
  func slack(_ pair: Int, _ k: Int, _ state: State) -> Int {
    let (first, second) = pairs[pair]
    let (a, b) = (body.jobs[first].duration, body.jobs[second].duration)
    let low = state.distances.least(from: first, to: second)
    let high = -state.distances.least(from: second, to: first)
    return min(high, (k + 1) * period - b) - max(low, a + k * period)
  }

  /// Fixes all pairs that have one choice left, and counts them; nil where one has none.
  func propagate(_ state: inout State) -> Int? {
    var decided = 0
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for pair in pairs.indices where !state.isDecided[pair] {
        let (count, k) = choices(pair, state)
        if count == 0 { return nil }
        if count == 1 {
          if !decide(pair, k, &state) { return nil }
          decided += 1
          hasChanged = true
        }
      }
    }
    return decided
  }

  /// The open pair with the fewest choices; nil where all are fixed.
  func narrowest(_ state: State) -> Int? {
    var chosen: Int?
    var fewest = Int.max
    for pair in pairs.indices where !state.isDecided[pair] {
      let count = choices(pair, state).count
      if count < fewest {
        (fewest, chosen) = (count, pair)
        if fewest == 2 { break }
      }
    }
    return chosen
  }
}

extension Int {
  /// The quotient rounded down; the divisor is positive.
  func floorDivided(by divisor: Int) -> Int {
    self >= 0 ? self / divisor : -((divisor - 1 - self) / divisor)
  }

  /// The quotient rounded up; the divisor is positive.
  func ceilingDivided(by divisor: Int) -> Int {
    -((-self).floorDivided(by: divisor))
  }
}
