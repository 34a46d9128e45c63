public import EPModel

/// When the kernels and exchanges of a repeated layer run, in all its micro-batches.
///
/// Layers follow each other one period apart: job `j` of micro-batch `b` of the `n`th layer starts
/// `starts[b][j] + n * period` nanoseconds after the first layer begins. docs/overlap.md says how it
/// is found and what the bound is.
public struct LayerSchedule: Hashable, Sendable {
  /// A kernel or an exchange, or a part of one.
  public struct Job: Hashable, Sendable {
    /// The operation, as an index into the function's.
    public var operation: Int
    /// The stream that is busy with it.
    public var stream: ShardedFunction.Stream
    /// Nanoseconds.
    public var duration: Int

    /// Makes a job.
    public init(operation: Int, stream: ShardedFunction.Stream, duration: Int) {
      self.operation = operation
      self.stream = stream
      self.duration = duration
    }
  }

  /// The most nanoseconds of a period or start.
  public static let mostNanoseconds: Int = 1 << 44
  /// The most jobs of a micro-batch.
  public static let mostJobs: Int = 1 << 14
  /// The most micro-batches of a step.
  public static let mostMicroBatches: Int = 16

  /// The operations of a micro-batch in the order they are issued.
  public var order: [Int]
  /// The jobs of one micro-batch. An operation may have several: the kernels that send and receive
  /// run beside a low-latency exchange. Views have none, nor have operations that another one's kernel
  /// computes.
  public var jobs: [Job]
  /// The start of each job, by micro-batch, in nanoseconds.
  public var starts: [[Int]]
  /// Nanoseconds from one layer to the next.
  public var period: Int
  /// No schedule of the layer has a shorter period.
  public var lowerBound: Int
  /// The bound of dependencies alone: the longest way through one micro-batch's layer.
  public var recurrence: Int
  /// Multiprocessors that exchanges take, where they take any.
  public var multiprocessors: Int?

  /// Makes a schedule.
  public init(
    order: [Int], jobs: [Job], starts: [[Int]], period: Int, lowerBound: Int, recurrence: Int,
    multiprocessors: Int? = nil
  ) {
    self.order = order
    self.jobs = jobs
    self.starts = starts
    self.period = period
    self.lowerBound = lowerBound
    self.recurrence = recurrence
    self.multiprocessors = multiprocessors
  }

  /// How many micro-batches a step is cut into.
  public var microBatches: Int { starts.count }

  /// Nanoseconds of a period that a stream is busy.
  public func busy(_ stream: ShardedFunction.Stream) -> Int {
    jobs.reduce(0) { $1.stream == stream ? $0 + $1.duration : $0 } * microBatches
  }

  /// The share of the time that a stream is busy.
  public func utilisation(_ stream: ShardedFunction.Stream) -> Double {
    period > 0 ? Double(busy(stream)) / Double(period) : 0
  }

  /// The share of a period in which nothing is computed: what of communication shows.
  public var exposed: Double { 1 - utilisation(.compute) }

  /// How far the period lies above its lower bound, as a share of that.
  public var gap: Double {
    lowerBound > 0 ? Double(period - lowerBound) / Double(lowerBound) : 0
  }

  /// Nanoseconds from the first start to the last end in one layer.
  public var span: Int {
    starts.reduce(0) { span, starts in
      zip(starts, jobs).reduce(span) { max($0, $1.0 + $1.1.duration) }
    }
  }

  /// The jobs of each operation.
  func jobs(of operations: Int) -> [[Int]] {
    var own = Array(repeating: [Int](), count: operations)
    for (index, job) in jobs.enumerated() where own.indices.contains(job.operation) {
      own[job.operation].append(index)
    }
    return own
  }

  /// When each operation starts in the first layer, by micro-batch; one without jobs as soon as what
  /// it reads is there.
  public func starts(of function: Function) -> [[Int]] {
    starts.map { times(of: function, $0).start }
  }

  /// When each operation of a micro-batch starts and has ended; one without jobs as soon as what it
  /// reads is there.
  func times(of function: Function, _ starts: [Int]) -> (start: [Int], end: [Int]) {
    let own = jobs(of: function.operations.count)
    var ready = Array(repeating: 0, count: function.values.count)
    var start: [Int] = []
    var end: [Int] = []
    for (number, operation) in function.operations.enumerated() {
      var first = Int.max
      var last = 0
      for job in own[number] {
        first = min(first, starts[job])
        last = max(last, starts[job] + jobs[job].duration)
      }
      if own[number].isEmpty {
        for case .value(let value) in operation.operands.map(\.reference) {
          last = max(last, ready[value])
        }
        first = last
      }
      start.append(first)
      end.append(last)
      for value in operation.results { ready[value] = last }
    }
    return (start, end)
  }
}
