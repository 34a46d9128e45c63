internal import EPIR
internal import EPModel

// Reads come after the writes they need, and buffers that live together do not overlap.
extension PoolVerifier {
  mutating func verifyOrder(_ index: Int) {
    let sharded = pool.functions[index]
    let function = sharded.function
    let order = StreamOrder(sharded)
    var definition: [Int: Int] = [:]
    var uses: [Int: [Int]] = [:]
    for (number, operation) in function.operations.enumerated() {
      let isCollective =
        operation.kind.isCollective && operation.attributes.text("algorithm") != "local"
      if (sharded.streams[number] == .communication) != isCollective {
        report(
          "stream", "'\(operation.kind.rawValue)' runs on the wrong stream",
          ".functions[\(index)].operations[\(number)]")
      }
      for value in operation.results { definition[value] = number }
      for operand in operation.operands {
        guard case .value(let value) = operand.reference else { continue }
        uses[value, default: []].append(number)
        if let writer = definition[value], !order.runs(writer, before: number) {
          report(
            "missing-wait",
            "operation \(number) (\(operation.kind.rawValue)) does not wait for operation \(writer), "
              + "which makes %\(value)", ".functions[\(index)].waits")
        }
      }
    }
    verifyBuffers(index, order, definition, uses)
  }

  private mutating func verifyBuffers(
    _ index: Int, _ order: StreamOrder, _ definition: [Int: Int], _ uses: [Int: [Int]]
  ) {
    let sharded = pool.functions[index]
    let results = Set(sharded.function.results.map(\.value))
    for (value, buffer) in sharded.buffers.enumerated() {
      let suffix = ".functions[\(index)].buffers[\(2 * value)]"
      if buffer.bytes < pool.bufferBytes(of: value, in: sharded) {
        report(
          "buffer-size",
          "%\(value) takes \(pool.bufferBytes(of: value, in: sharded)) bytes, its buffer has "
            + "\(buffer.bytes)", suffix)
      }
      if buffer.offset % ShardedFunction.Buffer.alignment != 0 {
        report("buffer-alignment", "%\(value) is at \(buffer.offset)", suffix)
      }
    }
    /// Whether everything that touches `a` runs before `b` is written.
    func ends(_ a: Int, before b: Int) -> Bool {
      guard !results.contains(a), let write = definition[b] else { return false }
      let touches = (definition[a].map { [$0] } ?? []) + (uses[a] ?? [])
      return touches.allSatisfy { order.runs($0, before: write) }
    }
    for a in sharded.buffers.indices {
      for b in sharded.buffers.indices.dropFirst(a + 1)
      where sharded.buffers[a].overlaps(sharded.buffers[b]) {
        if isView(a, of: b, sharded) || isView(b, of: a, sharded) { continue }
        if !ends(a, before: b) && !ends(b, before: a) {
          report(
            "buffer-overlap", "%\(a) and %\(b) are alive together in one place",
            ".functions[\(index)].buffers[\(2 * b)]")
        }
      }
    }
  }

  /// Whether one value is the other read with other axes.
  private func isView(_ a: Int, of b: Int, _ sharded: ShardedFunction) -> Bool {
    sharded.buffers[a] == sharded.buffers[b] && sharded.root(of: a) == sharded.root(of: b)
  }
}

extension ShardedFunction {
  /// The value that `value` is a reshape of, through any number of reshapes, or itself.
  public func root(of value: Int) -> Int {
    var root = value
    while let operation = function.operations.first(where: { $0.results.first == root }),
      operation.kind == .reshape, case .value(let x)? = operation.operand("x"), x != root
    {
      root = x
    }
    return root
  }
}

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
