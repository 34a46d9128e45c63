public import EPPlan
internal import EPSchedule

extension LayerLoop {
  /// Nanoseconds from one layer to the next, and of one layer from its first start to its last end.
  public struct Times: Hashable, Sendable {
    /// From one layer to the next.
    public var period: Int
    /// From a layer's first start to its last end.
    public var span: Int
  }

  /// What the layer takes by a recorded schedule: its own numbers where kernels take what they took
  /// then, else the shortest period in which everything runs in the recorded order. Nil where the
  /// record is of other jobs.
  public func times(by record: LayerSchedule) -> Times? {
    let (loop, period) = (body, record.period)
    guard record.microBatches == microBatches, record.jobs.count == jobs.count, period > 0,
      record.starts.allSatisfy({ $0.count == jobs.count }),
      zip(record.jobs, jobs).allSatisfy({
        $0.operation == $1.operation && $0.stream == $1.stream
      })
    else { return nil }
    if zip(record.jobs, jobs).allSatisfy({ $0.duration == $1.duration }) {
      return Times(period: period, span: record.span)
    }
    let starts = record.starts.flatMap { $0 }
    var ordered = LoopBody(resources: ShardedFunction.Stream.allCases.count)
    for job in loop.jobs { ordered.add(job) }
    // Seen from a window of one period, a job belongs to the iteration that many before.
    for dependency in loop.dependencies {
      let distance =
        dependency.distance + starts[dependency.to] / period - starts[dependency.from] / period
      guard (0...LoopBody.mostDistance).contains(distance) else { return nil }
      ordered.add(
        LoopBody.Dependency(
          from: dependency.from, to: dependency.to, delay: dependency.delay, distance: distance))
    }
    for stream in ShardedFunction.Stream.allCases {
      let own = loop.jobs.indices.filter { loop.jobs[$0].resource == stream.rawValue }.sorted {
        let (first, second) = (starts[$0] % period, starts[$1] % period)
        return (first, record.jobs[$0 % jobs.count].duration, $0)
          < (second, record.jobs[$1 % jobs.count].duration, $1)
      }
      for (earlier, later) in zip(own, own.dropFirst()) { ordered.add(later, after: earlier) }
      if let first = own.first, let last = own.last { ordered.add(first, after: last, distance: 1) }
    }
    guard let bounds = ordered.boundsOfDelays else { return nil }
    let span = Double(record.span) * Double(bounds.period) / Double(period)
    return Times(period: bounds.period, span: Int(span.rounded()))
  }
}
