/// Which operations are known to run before which: program order on a stream, and waits.
public struct StreamOrder: Sendable {
  private let streams: [ShardedFunction.Stream]
  /// For each operation and stream, the last operation of that stream known to be done before it.
  private let done: [[Int]]

  /// Works out the order of a function's operations.
  public init(_ function: ShardedFunction) {
    streams = function.streams
    var done: [[Int]] = []
    var last = Array(repeating: -1, count: ShardedFunction.Stream.allCases.count)
    for (number, stream) in function.streams.enumerated() {
      var known = Array(repeating: -1, count: last.count)
      let before = last[stream.rawValue] >= 0 ? [last[stream.rawValue]] : []
      for earlier in before + function.waits[number] where earlier >= 0 && earlier < number {
        for index in known.indices { known[index] = max(known[index], done[earlier][index]) }
        let own = function.streams[earlier].rawValue
        known[own] = max(known[own], earlier)
      }
      done.append(known)
      last[stream.rawValue] = number
    }
    self.done = done
  }

  /// Whether `earlier` is done before `later` starts.
  public func runs(_ earlier: Int, before later: Int) -> Bool {
    done[later][streams[earlier].rawValue] >= earlier
  }
}
