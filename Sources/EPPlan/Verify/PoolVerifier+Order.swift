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
    verifyBuffers(index, order, uses)
  }

  private mutating func verifyBuffers(
    _ index: Int, _ order: StreamOrder, _ uses: [Int: [Int]]
  ) {
    let sharded = pool.functions[index]
    for (value, buffer) in sharded.buffers.enumerated() {
      let suffix = ".functions[\(index)].buffers[\(2 * value)]"
      if buffer.bytes < pool.bufferBytes(of: value, in: sharded) {
        report(
          "buffer-size",
          "%\(value) takes \(pool.bufferBytes(of: value, in: sharded)) bytes, its buffer has "
            + "\(buffer.bytes)", suffix)
      }
      if buffer.offset < 0 || buffer.offset % ShardedFunction.Buffer.alignment != 0 {
        report(
          "buffer-alignment",
          "%\(value) is at \(buffer.offset), no multiple of \(ShardedFunction.Buffer.alignment)",
          suffix)
      }
    }
    verifyOverlaps(index, order, uses)
  }

  /// Whoever writes a place comes after everyone who used it before.
  ///
  /// Values are met in the order they are issued. A place is given to a value only when all that
  /// touch those who had it before are done, so it is enough to look at the last ones: linear in
  /// the number of values and places.
  private mutating func verifyOverlaps(
    _ index: Int, _ order: StreamOrder, _ uses: [Int: [Int]]
  ) {
    let sharded = pool.functions[index]
    let results = Set(sharded.function.results.map(\.value))
    let roots = sharded.roots
    var arena = ArenaMap()
    func write(_ value: Int, at number: Int) {
      let buffer = sharded.buffers[value]
      let before = arena.replace(buffer, by: value, number: number) { other in
        roots[other] == roots[value] && sharded.buffers[other] == buffer
      }
      for (other, writer) in before {
        let isDone =
          number >= 0 && !results.contains(other)
          && (writer < 0 || order.runs(writer, before: number))
          && (uses[other] ?? []).allSatisfy { order.runs($0, before: number) }
        if !isDone {
          report(
            "buffer-overlap", "%\(other) and %\(value) are alive together in one place",
            ".functions[\(index)].buffers[\(2 * value)]")
        }
      }
    }
    for parameter in sharded.function.parameters { write(parameter.value, at: -1) }
    for number in sharded.issueOrder {
      for value in sharded.function.operations[number].results { write(value, at: number) }
    }
  }
}

extension ShardedFunction {
  /// For each value, the one that it is a reshape of, through any number of reshapes, or itself.
  public var roots: [Int] {
    var roots = Array(function.values.indices)
    for operation in function.operations where operation.kind == .reshape {
      guard case .value(let x)? = operation.operand("x"), let result = operation.results.first,
        roots.indices.contains(x), roots.indices.contains(result)
      else { continue }
      roots[result] = roots[x]
    }
    return roots
  }
}
