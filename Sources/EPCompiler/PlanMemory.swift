internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Packs the values of each function into one arena: largest first, each at the lowest place
  /// that is free while it lives. A reshape shares its operand's place.
  @Sendable static func planMemory(_ compilation: inout Compilation) throws(Diagnostics) {
    for pool in compilation.pools.indices {
      for index in compilation.pools[pool].functions.indices {
        compilation.pools[pool].functions[index].buffers = pack(
          compilation.pools[pool].functions[index], in: compilation.pools[pool])
      }
    }
  }

  static func pack(
    _ sharded: ShardedFunction, in pool: Pool
  ) -> [ShardedFunction.Buffer] {
    let function = sharded.function
    let end = function.operations.count
    var life = Array(repeating: -1...(-1), count: function.values.count)
    for (number, operation) in function.operations.enumerated() {
      for value in operation.results { life[value] = number...number }
      for operand in operation.operands {
        guard case .value(let value) = operand.reference else { continue }
        life[value] = life[value].lowerBound...number
      }
    }
    for result in function.results { life[result.value] = life[result.value].lowerBound...end }
    // A view lives in its root's place, so the root lives as long as any view.
    let roots = sharded.roots
    for (value, root) in roots.enumerated() {
      life[root] =
        min(
          life[root].lowerBound, life[value].lowerBound)...max(
          life[root].upperBound, life[value].upperBound)
    }
    let alignment = ShardedFunction.Buffer.alignment
    let sizes = function.values.indices.map { value in
      pool.bufferBytes(of: value, in: sharded).saturatingSum(alignment - 1) / alignment * alignment
    }
    var buffers = sizes.map { ShardedFunction.Buffer(offset: 0, bytes: $0) }
    var placed: [Int] = []
    let order = function.values.indices.filter { roots[$0] == $0 }
      .sorted { (sizes[$1], $0) < (sizes[$0], $1) }
    for value in order {
      let rivals = placed.filter { life[$0].overlaps(life[value]) }
        .sorted { buffers[$0].offset < buffers[$1].offset }
      var offset = 0
      for rival in rivals {
        if buffers[rival].offset >= offset.saturatingSum(sizes[value]) { break }
        offset = max(offset, buffers[rival].end)
      }
      buffers[value].offset = offset
      placed.append(value)
    }
    for (value, root) in roots.enumerated() { buffers[value] = buffers[root] }
    return buffers
  }
}
