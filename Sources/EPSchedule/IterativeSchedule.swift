/// Schedules a body at one period by placing jobs one after the other around a period, and taking
/// those out again that are in the way: iterative modulo scheduling (B. R. Rau, "Iterative modulo
/// scheduling", 1994), in continuous time.
///
/// It does well where resources bound the period and dependencies leave room, which is where an
/// exhaustive search has most to look at.
struct IterativeSchedule {
  private let body: LoopBody
  private let period: Int
  private let before: [[LoopBody.Dependency]]
  private let after: [[LoopBody.Dependency]]
  /// Ticks from the start of a job to the end of what waits for it, iterations later counted a period
  /// less each.
  private var height: [Int]
  private var starts: [Int]
  private var isPlaced: [Bool]
  /// Where a job was placed last.
  private var last: [Int?]
  /// The placed jobs of each resource.
  private var placed: [[Int]]
  /// Elementary steps taken.
  private(set) var work = 0

  /// nil where no schedule has this period.
  init?(_ body: LoopBody, period: Int) {
    guard period > 0, !body.jobs.contains(where: { $0.duration > period }) else { return nil }
    self.body = body
    self.period = period
    let count = body.jobs.count
    var before = Array(repeating: [LoopBody.Dependency](), count: count)
    var after = before
    for dependency in body.dependencies {
      before[dependency.to].append(dependency)
      after[dependency.from].append(dependency)
    }
    (self.before, self.after) = (before, after)
    height = body.jobs.map(\.duration)
    starts = Array(repeating: 0, count: count)
    isPlaced = Array(repeating: false, count: count)
    last = Array(repeating: nil, count: count)
    placed = Array(repeating: [], count: body.resources)
    var hasChanged = true
    var round = 0
    while hasChanged {
      hasChanged = false
      round += 1
      if round > count + 1 { return nil }
      for dependency in body.dependencies.reversed() {
        let sum = height[dependency.to] + dependency.delay - dependency.distance * period
        if sum > height[dependency.from] {
          height[dependency.from] = sum
          hasChanged = true
        }
      }
    }
    work = round * body.dependencies.count
  }

  /// Starts of all jobs, or nil where none were found in `tries` placements for each job.
  mutating func run(tries: Int) -> [Int]? {
    var left = tries * body.jobs.count
    var open = body.jobs.count
    while open > 0 {
      if left == 0 { return nil }
      left -= 1
      var next = -1
      for job in body.jobs.indices where !isPlaced[job] {
        if next < 0 || height[job] > height[next] { next = job }
      }
      let earliest = before[next].reduce(Int.min) {
        isPlaced[$1.from] && $1.from != next
          ? max($0, starts[$1.from] + $1.delay - $1.distance * period) : $0
      }
      let start = place(next, from: earliest == .min ? 0 : earliest)
      open += evict(next, at: start)
      starts[next] = start
      last[next] = start
      isPlaced[next] = true
      if body.jobs[next].duration > 0 { placed[body.jobs[next].resource].append(next) }
      open -= 1
    }
    return starts
  }

  /// The first free start of a job; one that drives others out where there is none.
  private mutating func place(_ job: Int, from earliest: Int) -> Int {
    var start = earliest
    while start < earliest + period {
      guard let end = conflict(job, at: start) else { return start }
      start = end
    }
    // The earliest that has not been tried last, else they would drive each other out for ever.
    guard let last = last[job], last >= earliest else { return earliest }
    return conflict(job, at: last) ?? last + max(body.jobs[job].duration, 1)
  }

  /// When the resource is next free, if another job has it.
  private mutating func conflict(_ job: Int, at start: Int) -> Int? {
    let duration = body.jobs[job].duration
    if duration == 0 { return nil }
    let phase = start.phase(period)
    work += placed[body.jobs[job].resource].count
    for other in placed[body.jobs[job].resource] {
      let behind = (starts[other] - phase).phase(period)
      let length = body.jobs[other].duration
      // `other` starts `behind` ticks after this one, or began before and still runs.
      if behind < duration { return start + behind + length }
      if behind + length > period { return start + behind + length - period }
    }
    return nil
  }

  /// Takes out what cannot stay when a job starts then, and returns how many.
  private mutating func evict(_ job: Int, at start: Int) -> Int {
    var out = 0
    func remove(_ other: Int) {
      isPlaced[other] = false
      placed[body.jobs[other].resource].removeAll { $0 == other }
      out += 1
    }
    let duration = body.jobs[job].duration
    if duration > 0 {
      let phase = start.phase(period)
      for other in placed[body.jobs[job].resource] {
        let behind = (starts[other] - phase).phase(period)
        if behind < duration || behind + body.jobs[other].duration > period { remove(other) }
      }
    }
    for dependency in after[job] where dependency.to != job && isPlaced[dependency.to] {
      if starts[dependency.to] < start + dependency.delay - dependency.distance * period {
        remove(dependency.to)
      }
    }
    for dependency in before[job] where dependency.from != job && isPlaced[dependency.from] {
      if start < starts[dependency.from] + dependency.delay - dependency.distance * period {
        remove(dependency.from)
      }
    }
    work += body.jobs.count
    return out
  }
}
