internal import EPIR
public import EPModel

// What ranks hold: one account, used by the compiler to fill plans and by the verifier to check.
extension Pool {
  /// Bytes the fullest rank of a stage holds.
  public func memoryTable(ofStage stage: Int, precision: Precision) -> MemoryTable {
    var table = weightTable(ofStage: stage, precision: precision)
    addLoad(to: &table, ofStage: stage) { functions[$0].arenaBytes }
    return table
  }

  /// The part of a stage's memory that does not depend on the load.
  public func weightTable(ofStage stage: Int, precision: Precision) -> MemoryTable {
    var table = MemoryTable()
    var counted = WeightTally()
    let calls = self.calls(ofStage: stage)
    for call in calls {
      let function = functions[call.function]
      for (weight, sharding) in zip(function.function.weights, function.sharding) {
        let bits = precision.format(of: weight.role).bitsPerElement
        let bytes = Int(saturating: (Double(weight.elementCount) * bits / 8).rounded(.up))
        let held = bytes.saturatingProduct(counted.count(weight, layers: call.layers))
        if sharding.expertAxis != nil {
          table.expertWeights = table.expertWeights.saturatingSum(held)
        } else {
          table.denseWeights = table.denseWeights.saturatingSum(held)
        }
      }
    }
    return table
  }

  /// The part that does: caches, arenas (whose bytes `arena` says by function) and buffers.
  public func addLoad(
    to table: inout MemoryTable, ofStage stage: Int, arena: (Int) -> Int
  ) {
    for call in calls(ofStage: stage) {
      let function = functions[call.function]
      let caches = cacheBytes(of: function).saturatingProduct(max(call.layers.count, 1))
      table.cache = table.cache.saturatingSum(caches)
      table.activations = max(
        table.activations, arena(call.function).saturatingProduct(parts))
      table.communication = max(
        table.communication, communicationBytes(of: function).saturatingProduct(parts))
    }
  }

  /// Bytes of all caches of one call of a function, for all sequences of a data group.
  package func cacheBytes(of function: ShardedFunction) -> Int {
    function.function.caches.reduce(0) { sum, cache in
      let entries =
        cache.kind.growsWithContext ? min(cache.window ?? load.context, load.context) : 1
      let elements = cache.elementsPerEntry.saturatingProduct(entries)
      return sum.saturatingSum(
        elements.saturatingProduct(load.sequences.saturatingProduct(cacheElementBytes(cache.kind))))
    }
  }

  /// Bytes of an element of a cache: recurrent states are kept in fp32, all else as activations.
  public func cacheElementBytes(_ kind: CacheDeclaration.Kind) -> Int {
    kind == .recurrent ? 4 : bytes(of: .real)
  }

  /// Bytes of the buffers that All-to-All receives into, beside the arena.
  package func communicationBytes(of function: ShardedFunction) -> Int {
    if mesh.ep == 1 { return 0 }
    return function.function.operations.reduce(0) { sum, operation in
      guard operation.kind == .dispatch || operation.kind == .combine,
        case .value(let x)? = operation.operand("x")
      else { return sum }
      let type = function.function.values[x]
      return sum.saturatingSum(
        type.elementsPerRow.saturatingProduct(function.routedCapacity)
          .saturatingProduct(bytes(of: .real)))
    }
  }

  /// Bytes that a dispatch or combine sends for so many rows of `width` elements, each a (token,
  /// expert) pair whose expert is on another rank than the token.
  public func exchangeBytes(rows: Int, width: Int) -> Int { rows * width * bytes(of: .real) }

  /// Bytes of a value's buffer at the most rows a micro-batch can have.
  public func bufferBytes(of value: Int, in function: ShardedFunction) -> Int {
    let type = function.function.values[value]
    return mostRows(of: type, in: function).saturatingProduct(type.elementsPerRow)
      .saturatingProduct(bytes(of: type.element))
  }

  /// The least capacity for routed rows that a plan may have: an even share of all rows that the
  /// expert group sends, or all of them where they are fewer.
  public func leastRoutedCapacity(topK: Int, slotsPerRank: Int) -> Int {
    let sources = mesh.holdsWholeExperts ? (batchTokens + mesh.tp - 1) / mesh.tp : batchTokens
    return min(
      sources.saturatingProduct(topK),
      sources.saturatingProduct(mesh.ep).saturatingProduct(min(topK, slotsPerRank)))
  }
}
