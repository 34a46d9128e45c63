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

  /// How a job lies to a point before it.
  private struct Side {
    /// Ticks from the point to the job's start, at least, in the first iteration behind it.
    var ticks: Int
    /// How many ticks that iteration comes after the job's own.
    var shift: Int
  }

  /// Moves points apart by the work that lies between them; whether any moved, and nil where one
  /// cannot.
  private mutating func spread(_ state: inout ResourcePairs.State) -> Bool? {
    var hasMoved = false
    for jobs in working {
      let durations = jobs.map { body.jobs[$0].duration }
      var behind: [Side] = []
      var ahead: [Int] = []
      for (point, offset) in points {
        for (job, duration) in zip(jobs, durations) {
          let before = state.distances.least(from: point, to: job) - offset
          let shift = (1 - duration - before).ceilingDivided(by: period) * period
          behind.append(Side(ticks: before + shift, shift: shift))
          ahead.append(state.distances.least(from: job, to: point) + offset - duration)
        }
      }
      work += 4 * behind.count
      for (first, (from, start)) in points.enumerated() {
        for (second, (to, end)) in points.enumerated() where from != to {
          let least = state.distances.least(from: from, to: to) + end - start
          // Longer intervals hold whole periods, of which the bound of resources knows.
          if least > period || -state.distances.least(from: to, to: from) + end - start <= 0 {
            continue
          }
          let between = workBetween(
            durations, behind, first * jobs.count, ahead, second * jobs.count)
          work += jobs.count
          if between > max(least, 0) {
            if !state.distances.add(from: from, to: to, between + start - end) { return nil }
            hasMoved = true
          }
        }
      }
    }
    return hasMoved
  }

  /// Ticks of work that lie between two points, whose sides begin at `row` and `column`.
  private func workBetween(
    _ durations: [Int], _ behind: [Side], _ row: Int, _ ahead: [Int], _ column: Int
  ) -> Int {
    // Half of a refutation: spans are checked once, not for each element.
    let (durations, behind, ahead) = (
      durations.span, behind.span.extracting(row..<(row + durations.count)),
      ahead.span.extracting(column..<(column + durations.count))
    )
    var between = 0
    for job in durations.indices {
      let duration = unsafe durations[unchecked: job]
      let side = unsafe behind[unchecked: job]
      // From the first point to the job's start, and from its end to the second, at least.
      var before = side.ticks
      var after = unsafe ahead[unchecked: job] &- side.shift
      while after &+ duration > 0 {
        between &+= max(0, duration &- max(0, 0 &- before) &- max(0, 0 &- after))
        before &+= period
        after &-= period
      }
    }
    return between
  }
}
