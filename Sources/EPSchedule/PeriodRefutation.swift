internal import CEPSchedule

/// Shows that no schedule of a body has a period, where the bounds of resources and of dependencies
/// each allow it.
///
/// Long jobs and those of all resources but the first are decided pair by pair as in `OrderSearch`;
/// the others only count as work. Between two points in time, the starts and ends of long jobs, lies
/// the work that neither fits before the first nor behind the second, of all iterations; as it is done
/// by one resource, the points are that far apart at least (energetic reasoning, Erschler and Lopez
/// 1990, on a circle). What follows for the distances of all jobs may leave pairs one choice, and so
/// on. Where nothing follows any more, an open pair is decided both ways.
///
/// All of this holds in every schedule, so what remains without a choice is impossible. The converse
/// is not shown: short jobs may still be in each other's way.
struct PeriodRefutation {
  private let body: LoopBody
  private let period: Int
  private let pairs: ResourcePairs
  /// The starts and ends of long jobs: ticks from a job's start.
  private let points: [(job: Int, offset: Int)]
  /// The jobs of each resource that take time.
  private let working: [[Int]]
  /// Elementary steps taken.
  private(set) var work = 0
  private let limit: Int

  /// The share of a period from which on a job is long, as a divisor.
  private static let longShare = 50
  /// The most jobs of the body: distances of all pairs are kept.
  static let mostJobs = 128

  init(_ body: LoopBody, period: Int, limit: Int) {
    self.body = body
    self.period = period
    self.limit = limit
    let long = body.jobs.indices.filter {
      let job = body.jobs[$0]
      return job.duration > 0
        && (job.resource > 0 || job.duration > period / PeriodRefutation.longShare)
    }
    pairs = ResourcePairs(body, period: period, among: long)
    points = long.flatMap { [($0, 0), ($0, body.jobs[$0].duration)] }
    working = (0..<body.resources).map { resource in
      body.jobs.indices.filter {
        body.jobs[$0].resource == resource && body.jobs[$0].duration > 0
      }
    }
  }

  /// Whether the period is shown to be impossible, within the work allowed.
  mutating func succeeds() -> Bool {
    guard var state = pairs.initial() else { return true }
    work += state.distances.work
    return isRefuted(&state)
  }

  private mutating func isRefuted(_ state: inout ResourcePairs.State) -> Bool {
    var hasMoved = true
    while hasMoved {
      if work > limit { return false }
      let before = state.distances.work
      guard let decided = pairs.propagate(&state), let moved = spread(&state) else { return true }
      work += state.distances.work - before + 4 * (decided + 1) * pairs.pairs.count
      hasMoved = moved
    }
    guard let chosen = pairs.narrowest(state) else { return false }
    let (count, least) = pairs.choices(chosen, state)
    for k in least..<(least + count) {
      var next = state
      work += body.jobs.count * body.jobs.count
      if pairs.decide(chosen, k, &next) && !isRefuted(&next) { return false }
    }
    return true
  }

  /// Moves points apart by the work that lies between them; whether any moved, and nil where one
  /// cannot.
  private mutating func spread(_ state: inout ResourcePairs.State) -> Bool? {
    var hasMoved = false
    for jobs in working {
      // Few bits are compared several at a time; they nearly always do.
      let moved: Bool?
      if let sides = Sides<Int32>(body, jobs, points, state.distances) {
        moved = spread(sides, &state)
      } else if let sides = Sides<Int>(body, jobs, points, state.distances) {
        moved = spread(sides, &state)
      } else {
        moved = false
      }
      guard let moved else { return nil }
      hasMoved = hasMoved || moved
    }
    return hasMoved
  }

  private mutating func spread<Ticks: SideTicks>(
    _ sides: Sides<Ticks>, _ state: inout ResourcePairs.State
  ) -> Bool? {
    var hasMoved = false
    let count = sides.durations.count
    work += 4 * sides.ahead.count
    for (first, (from, start)) in points.enumerated() {
      for (second, (to, end)) in points.enumerated() where from != to {
        let least = state.distances.least(from: from, to: to) + end - start
        // Longer intervals hold whole periods, of which the bound of resources knows.
        if least > period || -state.distances.least(from: to, to: from) + end - start <= 0 {
          continue
        }
        let between = sides.workBetween(first * count, second * count)
        work += count
        if between > max(least, 0) {
          if !state.distances.add(from: from, to: to, between + start - end) { return nil }
          hasMoved = true
        }
      }
    }
    return hasMoved
  }
}

/// Ticks in as many bits as distances have.
private protocol SideTicks: FixedWidthInteger, SignedInteger {
  /// Work of jobs that lies between two points, and how far the last of them reaches behind the second.
  static func work(
    _ durations: Span<Self>, _ rests: Span<Self>, _ shifts: Span<Self>, _ ahead: Span<Self>
  ) -> (between: Self, furthest: Self)
}

extension Int32: SideTicks {
  static func work(
    _ durations: Span<Int32>, _ rests: Span<Int32>, _ shifts: Span<Int32>, _ ahead: Span<Int32>
  ) -> (between: Int32, furthest: Int32) {
    var furthest: Int32 = 0
    // All of a length.
    let between = unsafe durations.withUnsafeBufferPointer { durations in
      unsafe rests.withUnsafeBufferPointer { rests in
        unsafe shifts.withUnsafeBufferPointer { shifts in
          unsafe ahead.withUnsafeBufferPointer { ahead in
            unsafe epc_work_between(
              durations.baseAddress, rests.baseAddress, shifts.baseAddress, ahead.baseAddress,
              Int64(durations.count), &furthest)
          }
        }
      }
    }
    return (between, furthest)
  }
}

extension Int: SideTicks {
  static func work(
    _ durations: Span<Int>, _ rests: Span<Int>, _ shifts: Span<Int>, _ ahead: Span<Int>
  ) -> (between: Int, furthest: Int) {
    var (between, furthest) = (0, 0)
    for job in durations.indices {
      let after = ahead[job] - shifts[job]
      between += Swift.max(0, rests[job] + Swift.min(0, after))
      furthest = Swift.max(furthest, after + durations[job])
    }
    return (between, furthest)
  }
}

/// How the jobs of a resource lie to points, all jobs of a point together.
private struct Sides<Ticks: SideTicks> {
  private let period: Int
  var durations: [Ticks] = []
  /// What lies behind a point of a job's first iteration that is not all before it, at most.
  private var rests: [Ticks] = []
  /// How many ticks that iteration comes after the job's own.
  private var shifts: [Ticks] = []
  /// Ticks from a job's end to a point, at least.
  private(set) var ahead: [Ticks] = []

  /// Nil where distances do not have that few bits; what is so far that it lies between no two points
  /// may be further than they say.
  init?(
    _ body: LoopBody, _ jobs: [Int], _ points: [(job: Int, offset: Int)], _ distances: Distances
  ) {
    let far = Int(Ticks.max >> 2)
    period = distances.period
    let ticks = jobs.map { body.jobs[$0].duration }
    if period >= far || ticks.reduce(0, { $0.addingReportingOverflow($1).partialValue }) >= far {
      return nil
    }
    durations = ticks.map { Ticks($0) }
    rests.reserveCapacity(points.count * jobs.count)
    shifts.reserveCapacity(points.count * jobs.count)
    ahead.reserveCapacity(points.count * jobs.count)
    for (point, offset) in points {
      for (job, duration) in zip(jobs, ticks) {
        let before = distances.least(from: point, to: job) - offset
        let shift = (1 - duration - before).ceilingDivided(by: period) * period
        let after = distances.least(from: job, to: point) + offset - duration
        if shift <= -far || after >= far { return nil }
        rests.append(Ticks(duration + min(0, before + shift)))
        shifts.append(Ticks(min(shift, 2 * far)))
        ahead.append(Ticks(max(after, -2 * far)))
      }
    }
  }

  /// Ticks of work that lie between two points, whose jobs begin at `row` and `column`.
  func workBetween(_ row: Int, _ column: Int) -> Int {
    // Half of a refutation: spans are checked once, not for each element.
    let (durations, rests, shifts, ahead) = (
      durations.span, rests.span.extracting(row..<(row + durations.count)),
      shifts.span.extracting(row..<(row + durations.count)),
      ahead.span.extracting(column..<(column + durations.count))
    )
    let (between, furthest) = Ticks.work(durations, rests, shifts, ahead)
    var sum = Int(between)
    if Int(furthest) <= period { return sum }
    // Later iterations, which start behind the first point.
    for job in durations.indices {
      let duration = Int(unsafe durations[unchecked: job])
      var after = Int(unsafe ahead[unchecked: job] &- shifts[unchecked: job]) - period
      while after + duration > 0 {
        sum += duration + min(0, after)
        after -= period
      }
    }
    return sum
  }
}
