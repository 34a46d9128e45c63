internal import EPIR
internal import EPModel
internal import EPPlan

/// What the ranks of a pool hold, as a function of its load: the account of `Pool.memoryTable`, with
/// all that does not depend on the load worked out once.
struct PoolMemory {
  /// What one function adds where a stage calls it.
  private struct Share {
    var function: Int
    var layers: Int
    /// Whether the stage has not called the function before.
    var isFirst: Bool
  }

  private var stages: [(weights: MemoryTable, calls: [Share])]
  /// Bytes of the caches of one sequence and call, by function.
  private var cacheBytes: [Int]
  /// Bytes of buffers for one routed row, by function.
  private var rowBytes: [Int]
  /// Lots of a step, each with arenas and buffers of its own.
  private let lots: Int

  /// Works out a pool's account for sequences of so many tokens; `keepsWhole` caches of windows hold
  /// what has left them.
  init(_ pool: Pool, precision: Precision, context: Int, keepsWhole: Bool = false) {
    lots = pool.lots
    var pool = pool
    for function in pool.functions.indices where keepsWhole {
      for cache in pool.functions[function].function.caches.indices {
        pool.functions[function].function.caches[cache].window = nil
      }
    }
    pool.load = Pool.Load(sequences: 1, tokens: 1, context: context)
    for index in pool.functions.indices { pool.functions[index].routedCapacity = 1 }
    stages = pool.stages.indices.map { stage in
      (
        pool.weightTable(ofStage: stage, precision: precision),
        pool.calls(ofStage: stage).reduce(into: []) { shares, call in
          shares.append(
            Share(
              function: call.function, layers: max(call.layers.count, 1),
              isFirst: !shares.contains { $0.function == call.function }))
        }
      )
    }
    cacheBytes = pool.functions.map { pool.cacheBytes(of: $0) }
    rowBytes = pool.functions.map { pool.communicationBytes(of: $0) }
  }

  /// What the fullest rank holds; `room` says a function's arena and its room for routed rows.
  func table(
    sequences: Int, cacheShare: Double, room: (Int) -> (arena: Int, rows: Int)
  ) -> MemoryTable {
    var fullest = MemoryTable()
    for (weights, calls) in stages {
      var table = weights
      for call in calls {
        table.cache = table.cache.saturatingSum(
          cacheBytes[call.function].saturatingProduct(sequences)
            .saturatingProduct(call.layers))
        if !call.isFirst { continue }
        let (arena, rows) = room(call.function)
        table.activations = max(table.activations, arena.saturatingProduct(lots))
        table.communication = max(
          table.communication,
          rowBytes[call.function].saturatingProduct(rows).saturatingProduct(lots))
      }
      if cacheShare != 1 { table.cache = Int((Double(table.cache) * cacheShare).rounded(.up)) }
      if table.total >= fullest.total { fullest = table }
    }
    return fullest
  }
}
