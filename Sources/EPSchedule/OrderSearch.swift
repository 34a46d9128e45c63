/// Seeks a schedule of one period by deciding, for every two jobs of a resource, how many periods
/// apart they run; exhaustive unless its work runs out.
///
/// Two jobs `i` and `j` of a resource do not collide in any iteration if and only if for some whole
/// `k`: `duration(i) + k * period <= start(j) - start(i) <= (k + 1) * period - duration(j)`. Once `k` is
/// fixed for all pairs what is left are differences, which longest paths solve. So the search
/// branches over `k`, keeps all longest paths, and drops a branch as soon as a pair has no `k` left.
struct OrderSearch {
  private let body: LoopBody
  private let period: Int
  private let pairs: [(first: Int, second: Int)]
  /// What has been spent: jobs squared for each arc that was added.
  private(set) var work: Int
  private let limit: Int
  /// Whether the search ended since its work ran out.
  private(set) var isCutShort = false

  private struct State {
    var distances: Distances
    var isDecided: [Bool]
  }

  private struct Option {
    var k: Int
    var slack: Int
  }

  init(_ body: LoopBody, period: Int, work: Int, limit: Int) {
    self.body = body
    self.period = period
    self.work = work
    self.limit = limit
    var pairs: [(Int, Int)] = []
    for first in body.jobs.indices where body.jobs[first].duration > 0 {
      for second in (first + 1)..<max(body.jobs.count, first + 1)
      where body.jobs[second].resource == body.jobs[first].resource
        && body.jobs[second].duration > 0
      { pairs.append((first, second)) }
    }
    // Long jobs are the hardest to place.
    self.pairs = pairs.sorted {
      let a = body.jobs[$0.0].duration + body.jobs[$0.1].duration
      let b = body.jobs[$1.0].duration + body.jobs[$1.1].duration
      return (b, $0.0, $0.1) < (a, $1.0, $1.1)
    }
  }

  /// Starts of all jobs, or nil where there are none at this period or the work ran out.
  mutating func run() -> [Int]? {
    guard var state = initial() else { return nil }
    return dive(&state)
  }

  private mutating func initial() -> State? {
    let count = body.jobs.count
    if period <= 0 || body.jobs.contains(where: { $0.duration > period }) { return nil }
    // A job can be moved by whole periods as far as its dependencies let it, so that none need lie
    // further from another than the longest chain of delays and distances.
    let longest = body.dependencies.reduce(1) { max($0, $1.delay / period + $1.distance + 2) }
    let reach = (longest * count + 1) * period
    var distances = Distances(count: count, period: period, reach: reach)
    work += (body.dependencies.count + 1) * count * count
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

  private mutating func decide(_ pair: Int, _ k: Int, _ state: inout State) -> Bool {
    let (first, second) = pairs[pair]
    let jobs = body.jobs
    work += 2 * jobs.count * jobs.count
    state.isDecided[pair] = true
    return state.distances.add(from: first, to: second, jobs[first].duration + k * period)
      && state.distances.add(from: second, to: first, jobs[second].duration - (k + 1) * period)
  }

  /// The values of `k` that distances leave a pair, at most three of them.
  private func options(_ pair: Int, _ state: State) -> [Option] {
    let (first, second) = pairs[pair]
    let (a, b) = (body.jobs[first].duration, body.jobs[second].duration)
    let low = state.distances.least(from: first, to: second)
    let high = -state.distances.least(from: second, to: first)
    var options: [Option] = []
    var k = (low + b).ceilingDivided(by: period) - 1
    let last = (high - a).floorDivided(by: period)
    while k <= last {
      options.append(
        Option(k: k, slack: min(high, (k + 1) * period - b) - max(low, a + k * period)))
      k += 1
    }
    return options
  }

  private func count(_ pair: Int, _ state: State) -> (options: Int, first: Int) {
    let (first, second) = pairs[pair]
    let (a, b) = (body.jobs[first].duration, body.jobs[second].duration)
    let low = state.distances.least(from: first, to: second)
    let high = -state.distances.least(from: second, to: first)
    let k = (low + b).ceilingDivided(by: period) - 1
    return (max(0, (high - a).floorDivided(by: period) - k + 1), k)
  }

  /// Decides all pairs that have one choice left; false where one has none.
  private mutating func propagate(_ state: inout State) -> Bool {
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for pair in pairs.indices where !state.isDecided[pair] {
        let (options, k) = count(pair, state)
        if options == 0 { return false }
        if options == 1 {
          if !decide(pair, k, &state) { return false }
          hasChanged = true
        }
      }
      work += pairs.count
    }
    return true
  }

  private mutating func dive(_ state: inout State) -> [Int]? {
    if work > limit {
      isCutShort = true
      return nil
    }
    if !propagate(&state) { return nil }
    var chosen = -1
    var fewest = Int.max
    for pair in pairs.indices where !state.isDecided[pair] {
      let options = count(pair, state).options
      if options < fewest {
        (fewest, chosen) = (options, pair)
        if fewest == 2 { break }
      }
    }
    if chosen < 0 {
      let first = state.distances
      let starts = body.jobs.indices.map { first.least(from: 0, to: $0) }
      return starts
    }
    let options = options(chosen, state).sorted { (b: Option, a: Option) in
      (a.slack, abs(b.k), b.k) < (b.slack, abs(a.k), a.k)
    }
    for option in options {
      var next = state
      if decide(chosen, option.k, &next), let starts = dive(&next) { return starts }
      if isCutShort { return nil }
    }
    return nil
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
