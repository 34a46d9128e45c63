public import EPCost
public import EPIR
public import EPModel
public import EPPlan

/// Makes pools that are sharded, and neither scheduled, placed for loads nor verified: enough to say
/// what their steps take and hold, in a fraction of the time. A search sketches hundreds of pools and
/// compiles the one it takes.
public struct PoolSketcher: Sendable {
  /// The model as it will be sharded: its precision, and the MTP depths that are run.
  public var program: ModelProgram { base.program }
  private let base: Compilation

  /// Prepares a model; the request says precision, MTP depths, activations and capacity.
  public init(_ program: ModelProgram, _ request: CompileRequest) throws(Diagnostics) {
    var base = Compilation(program, request)
    try Compiler.importProgram(&base)
    try Compiler.sampleRows(&base)
    // Sketches say "normal": which All-to-All is cheaper is for the estimator to ask.
    base.request.pools = [CompileRequest.PoolRequest(.unified)]
    base.request.pools[0].usesLowLatency = false
    self.base = base
  }

  private static func experts(of function: Function) -> Int {
    function.operations.first { $0.kind == .dispatch }?.attributes.int("experts") ?? 0
  }

  /// What functions of a pool depend on: pools that agree in it share them, but for the number of
  /// slots.
  public struct Form: Hashable, Sendable {
    private var tp: Int
    private var holdsWholeExperts: Bool
    private var exchanges: Bool
    private var scoresAllTokens: Bool

    /// The form of pools with that role and mesh.
    public init(_ role: Pool.Role, _ mesh: Mesh) {
      tp = mesh.tp
      holdsWholeExperts = mesh.holdsWholeExperts
      exchanges = mesh.ep > 1
      scoresAllTokens = FunctionSharder.scoresAllTokens(role, mesh)
    }
  }

  /// The functions of pools of a form, with one slot a rank; throws where the model cannot be split
  /// so.
  public func functions(of pool: Pool) throws(Diagnostics) -> [ShardedFunction] {
    var compilation = base
    compilation.pools = [pool]
    compilation.pools[0].functions = []
    for (function, layers) in base.expertLayers {
      let experts = PoolSketcher.experts(of: base.program.functions[function])
      compilation.pools[0].placements.append(
        ExpertPlacement(
          function: function, layers: layers, experts: experts, slotsPerRank: 1,
          slots: Array(0..<pool.mesh.ep)))
    }
    try Compiler.shard(&compilation)
    return compilation.pools[0].functions
  }

  /// The pool with functions of its form, stages and placements, experts in order in the slots.
  public func sketch(
    _ pool: Pool, functions: [ShardedFunction], slotsPerRank: Int
  ) throws(Diagnostics) -> Pool {
    var compilation = base
    compilation.pools = [pool]
    compilation.pools[0].functions = functions
    for (function, layers) in base.expertLayers {
      let experts = PoolSketcher.experts(of: base.program.functions[function])
      let slots = slotsPerRank * pool.mesh.ep
      if experts < 1 || slots < experts || slotsPerRank > experts {
        throw Diagnostics("expert-slots", "\(slots) slots for \(experts) experts")
      }
      compilation.pools[0].placements.append(
        ExpertPlacement(
          function: function, layers: layers, experts: experts, slotsPerRank: slotsPerRank,
          slots: (0..<slots).map { $0 % experts }))
      let sharding = functions[function].sharding
      for (index, weight) in sharding.enumerated() where weight.expertAxis == 0 {
        let axis = functions[function].function.weights[index].axes[0]
        compilation.pools[0].functions[function].function.weights[index].axes[0] = axis.resized(
          to: slotsPerRank)
      }
    }
    compilation.pools[0].stages = [compilation.program.calls]
    compilation.pools[0].drafts = compilation.program.drafts
    try Compiler.splitPipeline(&compilation)
    return compilation.pools[0]
  }

  /// The room for routed rows that a function gets under the pool's load.
  public func routedCapacity(ofFunction index: Int, in pool: Pool) -> Int {
    Compiler.routedCapacity(
      of: pool.functions[index], pool, pool.placements.first { $0.function == index },
      factor: base.request.capacityFactor)
  }

  /// Bytes of the arena of a function under the pool's load and with room for so many routed rows.
  public func arenaBytes(ofFunction index: Int, routedCapacity: Int, in pool: Pool) -> Int {
    var function = pool.functions[index]
    function.routedCapacity = routedCapacity
    return Compiler.pack(function, in: pool).reduce(0) { max($0, $1.end) }
  }

  /// The same at most: with all values side by side.
  public func mostArenaBytes(ofFunction index: Int, routedCapacity: Int, in pool: Pool) -> Int {
    var function = pool.functions[index]
    function.routedCapacity = routedCapacity
    return pool.alignedBytes(of: function).reduce(0) { $0.saturatingSum($1) }
  }
}

extension Pool {
  /// A sketch whose steps run in one of the ways that were priced: with the streams, schedules and
  /// waits that the compiler would give them, and no places in memory.
  public func running(_ plan: OverlapPlan) -> Pool {
    var pool = self
    pool.microBatches = plan.microBatches
    for index in pool.functions.indices {
      pool.functions[index].streams = Compiler.streams(of: pool.functions[index])
      pool.functions[index].schedule = plan.schedules[index]
    }
    pool.insertWaits()
    return pool
  }
}
