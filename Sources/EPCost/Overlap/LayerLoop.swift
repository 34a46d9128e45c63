internal import EPModel
public import EPPlan
public import EPSchedule

/// The kernels and exchanges of one repeated layer as jobs to be scheduled, with what each waits for.
///
/// Exchanges of low-latency kernels are three jobs: the transfer on the communication stream, and on
/// the compute stream the kernels that send at its start and receive at its end. All others take
/// one stream at a time; what normal exchanges take from compute is in the durations.
public struct LayerLoop: Sendable {
  /// A job of one micro-batch.
  public struct Job: Hashable, Sendable {
    /// The operation, as an index into the function's.
    public var operation: Int
    /// The stream.
    public var stream: ShardedFunction.Stream
    /// Nanoseconds.
    public var duration: Int
  }

  /// Which kernels of the estimate a job is.
  public struct Source: Hashable, Sendable {
    /// What of the kernels the job is.
    public enum Role: Hashable, Sendable {
      /// All of them.
      case whole
      /// What a low-latency exchange runs on the compute stream to send, and to receive.
      case sending, receiving
    }
    /// What of the kernels the job is.
    public var role: Role
    /// The kernels, as indices into the estimate's operations; an exchange comes before its barrier.
    public var kernels: [Int]
    /// Seconds of the job alone, without the gap before it.
    public var alone: Double
    /// How much longer the kernels take than alone, beside what runs at the same time.
    public var slowdown: Double
  }

  /// The jobs of one micro-batch, in the function's order.
  public private(set) var jobs: [Job] = []
  /// What each job is made of.
  public private(set) var sources: [Source] = []
  /// Seconds between kernels on the compute stream, a part of their durations.
  public private(set) var gap = 0.0
  /// How many micro-batches there are.
  public let microBatches: Int
  private var dependencies: [LoopBody.Dependency] = []
  /// Jobs that state of a sequence is read and written by: micro-batches take turns.
  private var stateful: Set<Int> = []
  /// The jobs whose ends an operation's results wait for, by operation.
  private var ends: [[Int]] = []
  /// Seconds alone and beside an exchange, by job.
  private var seconds: [(alone: Double, beside: Double)] = []
  private let sharded: ShardedFunction

  /// Makes the jobs of a function from what its kernels take.
  ///
  /// `kernels` are those of one micro-batch alone; contention applies to jobs that can run beside an
  /// exchange: with several micro-batches to all.
  public init(
    _ sharded: ShardedFunction, kernels timed: [TimedKernel], microBatches: Int,
    contention: Contention, hardware: Hardware
  ) {
    self.sharded = sharded
    self.microBatches = microBatches
    let isBesideNormal = timed.contains { $0.kind == .normalExchange }
    var kernels = Array(repeating: [KernelTime](), count: sharded.function.operations.count)
    for (number, kernel) in timed.enumerated() {
      if kernel.part != .launch && kernel.operation < kernels.count {
        let stretch = contention.stretch(kernel, isBesideNormal: isBesideNormal, on: hardware)
        kernels[Int(kernel.operation)].append(
          KernelTime(
            number: number, stream: kernel.stream, part: kernel.part, alone: kernel.seconds,
            beside: kernel.seconds * stretch,
            hooks: kernel.seconds * contention.computeShare(of: kernel)))
      }
    }
    gap = LayerLoop.gap(timed, operations: kernels.count)
    build(kernels)
    fixDurations()
  }

  /// Seconds between kernels on the compute stream: gaps go with the kernels.
  static func gap(_ kernels: [TimedKernel], operations: Int) -> Double {
    var (seconds, launched) = (0.0, 0)
    for kernel in kernels {
      if kernel.part == .launch {
        seconds += kernel.seconds
      } else if kernel.stream == .compute && kernel.seconds > 0 && kernel.operation < operations {
        launched += 1
      }
    }
    return seconds / Double(max(launched, 1))
  }

  /// Makes the jobs of a function from its estimate.
  public init(
    _ sharded: ShardedFunction, estimate: FunctionEstimate, microBatches: Int,
    contention: Contention, hardware: Hardware
  ) {
    self.init(
      sharded, kernels: estimate.operations.map { TimedKernel($0) }, microBatches: microBatches,
      contention: contention, hardware: hardware)
  }

  private struct KernelTime {
    var number: Int
    var stream: ShardedFunction.Stream
    var part: OpEstimate.Part
    var alone: Double
    var beside: Double
    /// Seconds of a low-latency exchange's own kernels on the compute stream.
    var hooks: Double
  }

  /// What a value waits for: jobs' ends, of this layer or of the one before.
  private struct Wait: Hashable {
    var job: Int
    var distance: Int
  }

  private mutating func build(_ kernels: [[KernelTime]]) {
    let function = sharded.function
    var waits = Array(repeating: Set<Wait>(), count: function.values.count)
    // What stands for the parameter that the layer before makes.
    let carried = function.parameters.first { port in
      function.results.contains { $0.name == port.name }
    }
    let open = -1
    if let carried { waits[carried.value] = [Wait(job: open, distance: 1)] }
    var readers: [Int] = []
    for (number, operation) in function.operations.enumerated() {
      var before: Set<Wait> = []
      for case .value(let value) in operation.operands.map(\.reference) {
        before.formUnion(waits[value])
      }
      let first = jobs.count
      for kernel in kernels[number] {
        add(kernel, of: number, after: &before, since: first, &readers)
      }
      if jobs.count == first,
        let leader = sharded.leader(of: number),
        jobs.contains(where: { $0.operation == leader })
      {
        // Computed by the kernel of another operation.
        before = Set(ends[leader].map { Wait(job: $0, distance: 0) })
      }
      if operation.operands.contains(where: {
        if case .cache = $0.reference { true } else { false }
      }) {
        // One without a kernel of its own has its turn as soon as what it waits for is done.
        if jobs.count == first {
          stateful.formUnion(before.filter { $0.distance == 0 }.map(\.job))
        }
        stateful.formUnion(first..<jobs.count)
      }
      ends.append(before.filter { $0.distance == 0 }.map(\.job).sorted())
      for value in operation.results { waits[value] = before }
    }
    guard let carried, let result = function.results.first(where: { $0.name == carried.name })
    else { return }
    for wait in waits[result.value].sorted(by: { $0.job < $1.job }) where wait.job != open {
      for reader in readers {
        dependencies.append(
          LoopBody.Dependency(from: wait.job, to: reader, delay: -1, distance: 1))
      }
    }
  }

  /// Adds the jobs of a kernel, which wait for `before`; afterwards that is their ends.
  private mutating func add(
    _ kernel: KernelTime, of operation: Int, after before: inout Set<Wait>, since first: Int,
    _ readers: inout [Int]
  ) {
    func wait(_ job: Int) {
      for wait in before.sorted(by: { $0.job < $1.job }) {
        if wait.job < 0 {
          readers.append(job)
        } else {
          dependencies.append(LoopBody.Dependency(from: wait.job, to: job, delay: -1))
        }
      }
    }
    // A barrier and the exchange behind it are one job.
    if kernel.part == .barrier, let last = jobs.indices.last, jobs[last].operation == operation {
      seconds[last].alone += kernel.alone
      seconds[last].beside += kernel.beside
      sources[last].kernels.append(kernel.number)
      sources[last].alone += kernel.alone
      return
    }
    // What sums up experts' rows stands before the combine that sends them, though it is counted
    // behind it.
    if kernel.part == .other, kernel.stream == .compute, let last = jobs.indices.last,
      last == first,
      jobs[last].stream == .communication, sharded.function.operations[operation].kind == .combine
    {
      let exchange = seconds.removeLast()
      let source = sources.removeLast()
      jobs.removeLast()
      append(operation, .compute, kernel, (kernel.alone, kernel.beside))
      let job = append(operation, .communication, kernel, exchange)
      sources[job] = source
      dependencies.append(LoopBody.Dependency(from: last, to: job, delay: -1))
      before = [Wait(job: job, distance: 0)]
      return
    }
    if kernel.hooks > 0 {
      let half = (alone: kernel.hooks / 2, beside: kernel.hooks / 2)
      let send = append(operation, .compute, kernel, half, as: .sending)
      wait(send)
      let transfer = append(operation, kernel.stream, kernel, (kernel.alone, kernel.beside))
      dependencies.append(LoopBody.Dependency(from: send, to: transfer, delay: 0))
      let receive = append(operation, .compute, kernel, half, as: .receiving)
      dependencies.append(LoopBody.Dependency(from: transfer, to: receive, delay: -2))
      before = [Wait(job: transfer, distance: 0), Wait(job: receive, distance: 0)]
      return
    }
    let job = append(operation, kernel.stream, kernel, (kernel.alone, kernel.beside))
    wait(job)
    before = [Wait(job: job, distance: 0)]
  }

  /// Adds a job of so many seconds; the gap before a kernel goes with it.
  @discardableResult
  private mutating func append(
    _ operation: Int, _ stream: ShardedFunction.Stream, _ kernel: KernelTime,
    _ time: (alone: Double, beside: Double), as role: Source.Role = .whole
  ) -> Int {
    let extra = role == .whole && stream == .compute ? gap : 0
    jobs.append(Job(operation: operation, stream: stream, duration: 0))
    seconds.append((time.alone + extra, time.beside + extra))
    sources.append(
      Source(role: role, kernels: [kernel.number], alone: time.alone, slowdown: 1))
    return jobs.count - 1
  }

  // MARK: Durations

  /// Gives jobs their durations, and dependencies that wait for an end the delay that follows.
  private mutating func fixDurations() {
    let contended = microBatches > 1 ? jobs.map { _ in true } : canOverlap
    for job in jobs.indices {
      let time = contended[job] ? seconds[job].beside : seconds[job].alone
      jobs[job].duration = max(0, Int((min(time, 1e3) * 1e9).rounded()))
      if contended[job], sources[job].alone > 0 {
        let added = seconds[job].beside - seconds[job].alone
        sources[job].slowdown = 1 + added / sources[job].alone
      }
    }
    for index in dependencies.indices {
      let (from, to) = (dependencies[index].from, dependencies[index].to)
      if dependencies[index].delay == -1 {
        dependencies[index].delay = jobs[from].duration
      } else if dependencies[index].delay == -2 {
        // Kernels that receive run until the transfer has ended.
        dependencies[index].delay = max(0, jobs[from].duration - jobs[to].duration)
      }
    }
  }

  /// Whether a job of the other stream may run beside each job of the layer.
  private var canOverlap: [Bool] {
    let count = jobs.count
    var reaches = Array(repeating: Array(repeating: false, count: count), count: count)
    var next = Array(repeating: [Int](), count: count)
    for dependency in dependencies where dependency.distance == 0 {
      next[dependency.from].append(dependency.to)
    }
    // Jobs come in an order in which none waits for a later one.
    for job in jobs.indices.reversed() {
      for later in next[job] {
        reaches[job][later] = true
        for end in 0..<count where reaches[later][end] { reaches[job][end] = true }
      }
    }
    return jobs.indices.map { job in
      jobs.indices.contains { other in
        jobs[other].stream != jobs[job].stream && jobs[other].operation != jobs[job].operation
          && !reaches[job][other] && !reaches[other][job]
      }
    }
  }

  // MARK: Results

  /// Whether it exchanges anything: other layers have nothing to overlap.
  public var communicates: Bool { jobs.contains { $0.stream == .communication } }

  /// The body of all micro-batches: job `j` of micro-batch `b` is job `b * jobs.count + j`.
  public var body: LoopBody {
    LayerLoop.body(of: Array(repeating: self, count: microBatches))
  }

  /// The body of a layer whose micro-batches may be of unequal size, the jobs of one after the other.
  static func body(of parts: [LayerLoop]) -> LoopBody {
    var body = LoopBody(resources: ShardedFunction.Stream.allCases.count)
    for (batch, part) in parts.enumerated() {
      for job in part.jobs {
        body.add(
          LoopBody.Job(duration: job.duration, resource: job.stream.rawValue, batch: batch))
      }
    }
    var base = 0
    var turns: [Int] = []
    for part in parts {
      for dependency in part.dependencies {
        body.add(
          LoopBody.Dependency(
            from: base + dependency.from, to: base + dependency.to, delay: dependency.delay,
            distance: dependency.distance))
      }
      // Rows of one sequence may lie in two micro-batches, the earlier ones in the first.
      let own = part.stateful.sorted().map { base + $0 }
      for (earlier, later) in zip(turns, own) { body.add(later, after: earlier) }
      turns = own
      base += part.jobs.count
    }
    return body
  }

  /// The layer as the plan keeps it.
  public func record(_ schedule: ModuloSchedule) -> LayerSchedule {
    let starts = (0..<microBatches).map { batch in
      Array(schedule.starts[(batch * jobs.count)..<((batch + 1) * jobs.count)])
    }
    return LayerSchedule(
      order: order(starts[0]),
      jobs: jobs.map {
        LayerSchedule.Job(operation: $0.operation, stream: $0.stream, duration: $0.duration)
      }, starts: starts, period: schedule.period, lowerBound: schedule.lowerBound,
      recurrence: schedule.bounds.recurrence)
  }

  /// Operations in the order they are issued: by the start of their first job on their stream, which is
  /// that of communication if they have any; those without jobs as soon as what they read is there.
  private func order(_ starts: [Int]) -> [Int] {
    var first = Array(repeating: Int.max, count: sharded.function.operations.count)
    let sending = Set(jobs.lazy.filter { $0.stream == .communication }.map(\.operation))
    for (job, start) in zip(jobs, starts)
    where job.stream == .communication || !sending.contains(job.operation) {
      first[job.operation] = min(first[job.operation], start)
    }
    var writer: [Int: Int] = [:]
    for (number, operation) in sharded.function.operations.enumerated() {
      var ready = ends[number].reduce(0) { max($0, starts[$1] + jobs[$1].duration) }
      if first[number] < Int.max { ready = first[number] }
      // Never before what it reads, whose kernel may be another operation's.
      for case .value(let value) in operation.operands.map(\.reference) {
        if let made = writer[value] { ready = max(ready, first[made]) }
      }
      first[number] = ready
      for value in operation.results { writer[value] = number }
    }
    return first.indices.sorted { (first[$0], $0) < (first[$1], $1) }
  }
}
