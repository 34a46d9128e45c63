/// When the jobs of a loop body start, one period after the other.
public struct ModuloSchedule: Hashable, Sendable {
  /// Ticks from one iteration to the next.
  public var period: Int
  /// The start of each job in iteration 0; the earliest is 0.
  public var starts: [Int]
  /// The bounds of resources and dependencies.
  public var bounds: PeriodBounds
  /// No schedule is shorter: the bounds, or more where all shorter periods were refuted.
  public var lowerBound: Int

  /// Whether no schedule can be shorter.
  public var isOptimal: Bool { period <= lowerBound }

  /// How far the period lies above the lower bound, as a share of that.
  public var gap: Double {
    lowerBound > 0 ? Double(period - lowerBound) / Double(lowerBound) : 0
  }

  /// Ticks from the first job's start to the last one's end in one iteration.
  public func span(of body: LoopBody) -> Int {
    zip(starts, body.jobs).reduce(0) { max($0, $1.0 + $1.1.duration) }
  }

  /// Ticks of `count` iterations from the first start to the last end: warm-up and drain included.
  public func ticks(of count: Int, _ body: LoopBody) -> Int {
    count > 0 ? (count - 1) * period + span(of: body) : 0
  }

  /// The share of a period that a resource is busy.
  public func utilisation(_ resource: Int) -> Double {
    period > 0 ? Double(bounds.resources[resource]) / Double(period) : 0
  }

  /// Ticks of a period that a resource does nothing: with that of compute, what of communication
  /// and waiting shows.
  public func idle(_ resource: Int) -> Int { period - bounds.resources[resource] }

  /// The iteration that a job belongs to when the period begins in which it runs: 0 for the first.
  public func stage(of job: Int) -> Int { period > 0 ? starts[job] / period : 0 }

  /// When a job starts within a period.
  public func phase(of job: Int) -> Int { period > 0 ? starts[job] % period : 0 }

  /// What is wrong with the schedule as one of `body`, or nil: every dependency is met, across
  /// iterations too, and no resource has two jobs at once.
  public func problem(for body: LoopBody) -> String? {
    if starts.count != body.jobs.count {
      return "\(starts.count) starts of \(body.jobs.count) jobs"
    }
    if period < 0 || starts.contains(where: { $0 < 0 }) { return "a start lies before 0" }
    for dependency in body.dependencies {
      let start = starts[dependency.from] + dependency.delay
      if start > starts[dependency.to] + dependency.distance * period {
        return "job \(dependency.to) does not wait for job \(dependency.from)"
      }
    }
    for resource in 0..<body.resources {
      let own = body.jobs.indices.filter {
        body.jobs[$0].resource == resource && body.jobs[$0].duration > 0
      }.sorted { (phase(of: $0), $0) < (phase(of: $1), $1) }
      for (index, job) in own.enumerated() {
        let isLast = index + 1 == own.count
        let next = isLast ? phase(of: own[0]) + period : phase(of: own[index + 1])
        if phase(of: job) + body.jobs[job].duration > next {
          return "job \(job) runs into the next one of resource \(resource)"
        }
      }
    }
    return nil
  }
}
