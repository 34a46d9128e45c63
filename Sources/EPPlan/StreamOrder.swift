/// Which operations are known to run before which: the order of issue on a stream, and waits.
public struct StreamOrder: Sendable {
  private let streams: [ShardedFunction.Stream]
  /// When each operation is issued.
  private let position: [Int]
  /// For each operation and stream, when the last operation of that stream was issued that is known
  /// to be done before it.
  private let done: [[Int]]

  /// Works out the order of a function's operations.
  public init(_ function: ShardedFunction) {
    streams = function.streams
    let nothing = Array(repeating: -1, count: ShardedFunction.Stream.allCases.count)
    var position = Array(repeating: -1, count: function.streams.count)
    var done = Array(repeating: nothing, count: function.streams.count)
    var last = nothing
    let order = function.schedule?.order ?? Array(function.streams.indices)
    for (place, number) in order.enumerated() {
      let stream = function.streams[number]
      var known = nothing
      let before = last[stream.rawValue] >= 0 ? [last[stream.rawValue]] : []
      for earlier in before + function.waits[number]
      where position.indices.contains(earlier) && position[earlier] >= 0 {
        for index in known.indices { known[index] = max(known[index], done[earlier][index]) }
        let own = function.streams[earlier].rawValue
        known[own] = max(known[own], position[earlier])
      }
      position[number] = place
      done[number] = known
      last[stream.rawValue] = number
    }
    self.position = position
    self.done = done
  }

  /// Whether `earlier` is done before `later` starts.
  public func runs(_ earlier: Int, before later: Int) -> Bool {
    done[later][streams[earlier].rawValue] >= position[earlier]
  }
}
