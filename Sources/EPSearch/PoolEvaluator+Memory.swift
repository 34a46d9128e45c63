internal import EPCompiler
internal import EPIR
internal import EPModel
internal import EPPlan

/// What pools hold.
extension PoolEvaluator {
  /// What the fullest rank of the pool holds under a load.
  ///
  /// With `spread`, no two values of an arena share bytes: it holds no more than that, and that is sooner
  /// said.
  func memory(_ shape: PoolShape, _ load: Pool.Load, spread: Bool = false) -> MemoryTable? {
    guard let form = form(shape), var pool = sketch(shape),
      let sketcher = tables.sketchers[tables.variant(shape)]
    else { return nil }
    let memory = memory(shape, form, pool, load)
    pool.load = load
    return memory.table(sequences: load.sequences, cacheShare: cacheShare) { index in
      let capacity =
        index < form.hasExperts.count && form.hasExperts[index]
        ? sketcher.routedCapacity(ofFunction: index, in: pool) : 0
      if spread {
        return (
          sketcher.mostArenaBytes(ofFunction: index, routedCapacity: capacity, in: pool), capacity
        )
      }
      let key = ArenaKey(
        form: form.id, function: index, load: load, lots: pool.lots, capacity: capacity)
      if let known = arenas[key] { return (known, capacity) }
      let bytes = sketcher.arenaBytes(ofFunction: index, routedCapacity: capacity, in: pool)
      arenas[key] = bytes
      return (bytes, capacity)
    }
  }

  /// The part of the account that does not depend on sequences.
  private func memory(
    _ shape: PoolShape, _ form: Form, _ pool: Pool, _ load: Pool.Load
  ) -> PoolMemory {
    let key = MemoryKey(form: form.id, pp: shape.mesh.pp, slotsPerRank: shape.slotsPerRank)
    if let known = memories[key] { return known }
    let made = PoolMemory(
      pool, precision: shape.precision, context: load.context,
      keepsWhole: problem.keepsWholeCaches)
    memories[key] = made
    return made
  }

  /// Bits of a cache's element in memory over those of an activation.
  private var cacheShare: Double {
    (problem.cacheFormat ?? problem.activations).bitsPerElement
      / problem.activations.bitsPerElement
  }

  /// Says whether so many sequences and tokens of prompts fit without arenas and buffers, which are
  /// dearer to work out; nil where the model cannot be split so.
  func holdsWeightsAndCaches(
    _ shape: PoolShape
  ) -> ((_ sequences: Int, _ promptTokens: Int) -> Bool)? {
    guard let form = form(shape), let pool = sketch(shape) else { return nil }
    let memory = memory(shape, form, pool, load(shape, sequences: 1, promptTokens: 1))
    return { [unowned self] sequences, promptTokens in
      let load = load(shape, sequences: sequences, promptTokens: promptTokens)
      if load.problem != nil { return false }
      let table = memory.table(sequences: load.sequences, cacheShare: cacheShare) { _ in (0, 0) }
      return table.total <= tables.usableBytes
    }
  }

  /// Whether a load fits the usable memory of a device.
  func fits(_ shape: PoolShape, sequences: Int, promptTokens: Int) -> Bool {
    guard let form = form(shape) else { return false }
    let key = FitKey(
      sketch: sketchKey(shape, form), role: shape.role, sequences: sequences,
      promptTokens: promptTokens)
    if let known = fitting[key] { return known }
    let load = load(shape, sequences: sequences, promptTokens: promptTokens)
    func fits(spread: Bool) -> Bool {
      memory(shape, load, spread: spread).map { $0.total <= tables.usableBytes } ?? false
    }
    let fits =
      load.problem == nil && sequences + promptTokens <= problem.space.mostTokens
      && (fits(spread: true) || fits(spread: false))
    fitting[key] = fits
    return fits
  }
}
