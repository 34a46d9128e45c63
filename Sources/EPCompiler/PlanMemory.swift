internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Packs the values of each function into one arena, so that no two that are alive together
  /// share a byte. A reshape shares its operand's place.
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
    ArenaPacker(sharded, sizes: pool.alignedBytes(of: sharded)).pack()
  }
}

/// Finds places for values in as small an arena as it can.
///
/// Values are put one after the other at the lowest place that is free of all they live together
/// with. The order decides how well that goes: a few that are known to be good are tried, and then the
/// best of them with values moved to the front that stuck out, as long as that helps and the
/// bound, the most bytes alive at once, is not reached.
struct ArenaPacker {
  private let sizes: [Int]
  private let roots: [Int]
  private let values: [Int]
  /// For each of `values`, the others alive with it, as indices into `values`.
  private let rivals: [[Int]]
  private let lives: Lifetimes
  private let least: Int
  private let rounds = 200

  init(_ sharded: ShardedFunction, sizes: [Int]) {
    self.sizes = sizes
    let lives = Lifetimes(sharded)
    let values = lives.roots.indices.filter { lives.roots[$0] == $0 }
    rivals = values.map { value in
      values.indices.filter { values[$0] != value && !lives.areApart(values[$0], value) }
    }
    self.lives = lives
    self.values = values
    roots = lives.roots
    least = lives.mostBytes(sizes)
  }

  func pack() -> [ShardedFunction.Buffer] {
    let size = { sizes[values[$0]] }
    let start = { lives.start(of: values[$0]) }
    let area = { sizes[values[$0]].saturatingProduct(lives.length(of: values[$0])) }
    let all = Array(values.indices)
    let orders = [
      all.sorted { (size($1), $0) < (size($0), $1) },
      all.sorted { (area($1), $0) < (area($0), $1) },
      all.sorted { (start($0), size($1), $0) < (start($1), size($0), $1) },
      all.sorted { (start($1), size($1), $0) < (start($0), size($0), $1) },
    ]
    var best: (bytes: Int, order: [Int], offsets: [Int])?
    for order in orders {
      let (bytes, offsets) = place(order)
      if bytes < best?.bytes ?? .max { best = (bytes, order, offsets) }
    }
    guard var best else { return [] }
    var round = 0
    while best.bytes > least && round < rounds {
      // What reaches the top, and what stands below it, come earlier.
      guard
        let highest = all.max(by: {
          (best.offsets[$0] + size($0), $1) < (best.offsets[$1] + size($1), $0)
        })
      else { break }
      var order = best.order
      let movable = [highest] + rivals[highest]
      let moved = movable[round % movable.count]
      order.removeAll { $0 == moved }
      order.insert(moved, at: min(round / movable.count, order.count))
      let (bytes, offsets) = place(order)
      round += 1
      if bytes < best.bytes {
        best = (bytes, order, offsets)
        round = 0
      }
      if round / movable.count > order.count { break }
    }
    var buffers = sizes.map { ShardedFunction.Buffer(offset: 0, bytes: $0) }
    for (index, value) in values.enumerated() { buffers[value].offset = best.offsets[index] }
    for (value, root) in roots.enumerated() { buffers[value] = buffers[root] }
    return buffers
  }

  /// Each value in turn at the lowest place that is free.
  private func place(_ order: [Int]) -> (bytes: Int, offsets: [Int]) {
    var offsets = Array(repeating: 0, count: values.count)
    var isPlaced = Array(repeating: false, count: values.count)
    var bytes = 0
    for index in order {
      let size = sizes[values[index]]
      let taken = rivals[index].filter { isPlaced[$0] && sizes[values[$0]] > 0 }
        .sorted { offsets[$0] < offsets[$1] }
      var offset = 0
      for rival in taken {
        if offsets[rival] >= offset.saturatingSum(size) { break }
        offset = max(offset, offsets[rival].saturatingSum(sizes[values[rival]]))
      }
      offsets[index] = offset
      isPlaced[index] = true
      bytes = max(bytes, offset.saturatingSum(size))
    }
    return (bytes, offsets)
  }
}
