internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Makes every operation wait for what it reads, and for what still uses the place it writes,
  /// wherever that runs on the other stream. Without a schedule an operation waits for all before it:
  /// nothing overlaps, which is how such functions are priced. Waits that follow from others are left
  /// out.
  @Sendable static func insertWaits(_ compilation: inout Compilation) throws(Diagnostics) {
    for pool in compilation.pools.indices {
      compilation.pools[pool].insertWaits()
    }
  }

  static func insertWaits(_ sharded: inout ShardedFunction, isSerial: Bool = false) {
    let operations = sharded.function.operations
    var writer: [Int: Int] = [:]
    var touches = Array(repeating: [Int](), count: sharded.function.values.count)
    sharded.waits = Array(repeating: [], count: operations.count)
    // What is known to be done before each operation, one entry a stream.
    var done = Array(repeating: [Int](), count: operations.count)
    var position = Array(repeating: 0, count: operations.count)
    var last = Array(repeating: -1, count: ShardedFunction.Stream.allCases.count)
    for (place, number) in sharded.issueOrder.enumerated() {
      let operation = operations[number]
      position[number] = place
      var needed: Set<Int> = isSerial && place > 0 ? [sharded.issueOrder[place - 1]] : []
      for operand in operation.operands {
        guard case .value(let value) = operand.reference else { continue }
        if let earlier = writer[value] { needed.insert(earlier) }
        touches[value].append(number)
      }
      for value in operation.results {
        writer[value] = number
        for other in sharded.buffers.indices
        where other != value && sharded.buffers[other].overlaps(sharded.buffers[value]) {
          needed.formUnion(touches[other])
        }
        touches[value].append(number)
      }
      needed.remove(number)
      let stream = sharded.streams[number].rawValue
      var known = Array(repeating: -1, count: last.count)
      func learn(from earlier: Int) {
        for index in known.indices { known[index] = max(known[index], done[earlier][index]) }
        let own = sharded.streams[earlier].rawValue
        known[own] = max(known[own], position[earlier])
      }
      if last[stream] >= 0 { learn(from: last[stream]) }
      // The latest first: it often implies the others.
      for earlier in needed.sorted(by: { position[$0] > position[$1] })
      where known[sharded.streams[earlier].rawValue] < position[earlier] {
        sharded.waits[number].append(earlier)
        learn(from: earlier)
      }
      sharded.waits[number].sort()
      done[number] = known
      last[stream] = number
    }
  }
}

extension Pool {
  mutating func insertWaits() {
    for index in functions.indices {
      Compiler.insertWaits(&functions[index], isSerial: functions[index].schedule == nil)
    }
  }
}
