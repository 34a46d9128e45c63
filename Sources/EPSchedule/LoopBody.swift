/// The body of a loop to be pipelined: the jobs of one iteration, all micro-batches of it together.
///
/// Time is counted in ticks, whole numbers of any unit. Iterations start one period apart; a job of
/// iteration `n` starts at `starts[job] + n * period`.
public struct LoopBody: Hashable, Sendable {
  /// Something that occupies one resource without a break.
  public struct Job: Hashable, Sendable {
    /// Ticks.
    public var duration: Int
    /// What it occupies, from 0: a stream.
    public var resource: Int
    /// The micro-batch it belongs to. Only jobs of one micro-batch are ever treated as one.
    public var batch: Int

    /// Makes a job.
    public init(duration: Int, resource: Int, batch: Int = 0) {
      self.duration = duration
      self.resource = resource
      self.batch = batch
    }
  }

  /// One job waits for another.
  public struct Dependency: Hashable, Sendable {
    /// The earlier job.
    public var from: Int
    /// The later job.
    public var to: Int
    /// Ticks from the start of `from` to the earliest start of `to`: the duration of `from` where
    /// `to` needs its result, 0 where both may start together.
    public var delay: Int
    /// How many iterations lie between them: 0 in one iteration, 1 if `to` belongs to the next.
    public var distance: Int

    /// Makes a dependency.
    public init(from: Int, to: Int, delay: Int, distance: Int = 0) {
      self.from = from
      self.to = to
      self.delay = delay
      self.distance = distance
    }
  }

  /// The jobs of an iteration.
  public private(set) var jobs: [Job]
  /// What they wait for.
  public private(set) var dependencies: [Dependency]
  /// How many resources there are.
  public private(set) var resources: Int

  /// The most jobs of a body.
  public static let mostJobs = 4096
  /// The most ticks of all durations and delays together.
  public static let mostTicks = 1 << 44
  /// The most iterations between two jobs.
  public static let mostDistance = 64

  /// Makes a body without jobs.
  public init(resources: Int = 2) {
    precondition(resources > 0, "a body has at least one resource")
    jobs = []
    dependencies = []
    self.resources = resources
  }

  /// Adds a job and returns its number.
  @discardableResult
  public mutating func add(_ job: Job) -> Int {
    precondition(
      job.duration >= 0 && job.duration <= LoopBody.mostTicks && job.resource >= 0
        && job.resource < resources && jobs.count < LoopBody.mostJobs,
      "a job has a duration and one of the resources")
    jobs.append(job)
    return jobs.count - 1
  }

  /// Adds a dependency of two jobs that are there.
  public mutating func add(_ dependency: Dependency) {
    precondition(
      jobs.indices.contains(dependency.from) && jobs.indices.contains(dependency.to)
        && (0...LoopBody.mostTicks).contains(dependency.delay)
        && (0...LoopBody.mostDistance).contains(dependency.distance),
      "a dependency joins two jobs of the body")
    dependencies.append(dependency)
  }

  /// Makes `later` wait for the end of `earlier`, `distance` iterations before.
  public mutating func add(_ later: Int, after earlier: Int, distance: Int = 0) {
    add(
      Dependency(
        from: earlier, to: later, delay: jobs[earlier].duration, distance: distance))
  }

  /// Ticks that a resource is busy in an iteration.
  public func busy(_ resource: Int) -> Int {
    jobs.reduce(0) { $1.resource == resource ? $0 + $1.duration : $0 }
  }

  /// Ticks of all jobs one after the other.
  public var serial: Int { jobs.reduce(0) { $0 + $1.duration } }

  /// The jobs in an order in which each comes after those of its iteration that it waits for, the
  /// lowest number first where several may; nil where they wait for each other in a circle.
  public var topologicalOrder: [Int]? {
    var waiting = Array(repeating: 0, count: jobs.count)
    var next = Array(repeating: [Int](), count: jobs.count)
    for dependency in dependencies where dependency.distance == 0 {
      waiting[dependency.to] += 1
      next[dependency.from].append(dependency.to)
    }
    var order: [Int] = []
    var isDone = Array(repeating: false, count: jobs.count)
    // Bodies are mostly numbered in such an order already, so that one or two sweeps do.
    while order.count < jobs.count {
      let before = order.count
      for job in jobs.indices where !isDone[job] && waiting[job] == 0 {
        isDone[job] = true
        order.append(job)
        for later in next[job] { waiting[later] -= 1 }
      }
      if order.count == before { return nil }
    }
    return order
  }
}
