internal import EPJSON
internal import EPModel

extension LayerSchedule {
  /// The schedule as data: jobs and starts as flat lists of numbers.
  var document: Document {
    .object([
      "period": .int(period), "lower_bound": .int(lowerBound), "recurrence": .int(recurrence),
      "multiprocessors": multiprocessors.map(Document.int), "order": .ints(order),
      "jobs": .ints(jobs.flatMap { [$0.operation, $0.stream.rawValue, $0.duration] }),
      "starts": .list(starts.map { .ints($0) }),
    ])
  }

  /// Reads a schedule of a function with so many operations.
  init(json node: JSONNode, operations: Int) throws(JSONError) {
    let time = 0...LayerSchedule.mostNanoseconds
    let numbers = try node["jobs"].ints(in: time, maxCount: 3 * LayerSchedule.mostJobs)
    if numbers.count % 3 != 0 {
      throw try node["jobs"].fail("an operation, a stream and nanoseconds for each job")
    }
    var jobs: [Job] = []
    for index in stride(from: 0, to: numbers.count, by: 3) {
      guard numbers[index] < operations,
        let stream = ShardedFunction.Stream(rawValue: numbers[index + 1])
      else {
        throw try node["jobs"].fail("a job is of one of \(operations) operations and two streams")
      }
      jobs.append(
        Job(operation: numbers[index], stream: stream, duration: numbers[index + 2]))
    }
    var starts: [[Int]] = []
    for batch in try node["starts"].array(maxCount: LayerSchedule.mostMicroBatches) {
      let own = try batch.ints(in: time, maxCount: LayerSchedule.mostJobs)
      if own.count != jobs.count {
        throw batch.fail("\(own.count) starts of \(jobs.count) jobs")
      }
      starts.append(own)
    }
    self.init(
      order: try node["order"].ints(in: 0...max(operations - 1, 0), maxCount: operations),
      jobs: jobs, starts: starts, period: try node["period"].int(in: time),
      lowerBound: try node["lower_bound"].int(in: time),
      recurrence: try node["recurrence"].int(in: time),
      multiprocessors: try node.optional("multiprocessors")?.int(in: 0...4096))
  }
}
