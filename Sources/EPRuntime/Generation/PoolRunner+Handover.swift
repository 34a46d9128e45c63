internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// Which cache of which layer.
struct CacheKey: Hashable {
  var layer: Int
  var function: Int
  var cache: Int
}

/// Where a cache of a layer is: the stage, and the place among a rank's caches.
struct CachePlace {
  var stage: Int
  var entry: Int
  var declaration: CacheDeclaration
  var parts: Int

  /// The caches of a pool in the order of stages and calls.
  static func all(of plan: Plan, pool index: Int) -> [(key: CacheKey, place: CachePlace)] {
    let pool = plan.pools[index]
    var places: [(key: CacheKey, place: CachePlace)] = []
    for stage in pool.stages.indices {
      let program = plan.instantiate(rank: stage * pool.mesh.stageRanks, of: index)
      var entry = 0
      for call in program.calls {
        let function = pool.functions[call.function]
        for (cache, declaration) in function.function.caches.enumerated() {
          places.append(
            (
              CacheKey(layer: call.layer, function: call.function, cache: cache),
              CachePlace(
                stage: stage, entry: entry, declaration: declaration,
                parts: function.cacheParts[cache])
            ))
          entry += 1
        }
      }
    }
    return places
  }
}

extension PoolRunner {

  /// Copies all caches of a sequence to another pool, from one split over tensor ranks to another.
  ///
  /// - Returns: the bytes that the plan counts for it.
  func handOver(
    _ sequence: Int, tokens: Int, from group: Int, to other: PoolRunner<D>, group otherGroup: Int
  ) throws(ExecutionError) -> Int {
    var bytes = 0
    let targets = Dictionary(
      uniqueKeysWithValues: other.cachePlaces.map { ($0.key, $0.place) })
    for (key, place) in cachePlaces {
      guard let target = targets[key] else { continue }
      let grows = place.declaration.kind.growsWithContext
      let entries = grows ? tokens : 1
      for part in place.declaration.parts.indices {
        let whole = try gather(sequence, place, part: part, entries: entries, group: group)
        other.scatter(
          whole, sequence, target, part: part, entries: entries, tokens: tokens, group: otherGroup)
      }
      bytes +=
        entries * place.declaration.elementsPerEntry * place.parts
        * pool.cacheElementBytes(place.declaration.kind)
    }
    return bytes
  }

  /// The ranks of a data group in a stage.
  private func members(of group: Int, stage: Int) -> [Int] {
    (0..<pool.mesh.tp).map { stage * pool.mesh.stageRanks + group * pool.mesh.tp + $0 }
  }

  /// Elements of an entry before the axis that tensor ranks split, and a rank's from there on.
  private func shape(_ place: CachePlace, part: Int) -> (outer: Int, inner: Int, parts: Int) {
    let axes = place.declaration.parts[part]
    let split = axes.firstIndex { $0.split == .tensor }
    func count(_ axes: ArraySlice<Axis>) -> Int { axes.reduce(1) { $0 * ($1.size ?? 1) } }
    guard let split, place.parts > 1 else { return (1, count(axes[...]), 1) }
    return (count(axes[..<split]), count(axes[split...]), place.parts)
  }

  private func gather(
    _ sequence: Int, _ place: CachePlace, part: Int, entries: Int, group: Int
  ) throws(ExecutionError) -> [Float] {
    let (outer, inner, parts) = shape(place, part: part)
    let holders = members(of: group, stage: place.stage)
    var held: [[Float]] = []
    for index in 0..<parts {
      let rank = holders[index * holders.count / parts]
      held.append(
        try share(rank) {
          executor(rank)?.caches[sequence]?.entries[place.entry].parts[part].memory
            .elements(from: 0, count: entries * outer * inner).floats ?? []
        })
    }
    var whole: [Float] = []
    for block in 0..<(entries * outer) {
      for values in held { whole += values[(block * inner)..<((block + 1) * inner)] }
    }
    return whole
  }

  private func scatter(
    _ whole: [Float], _ sequence: Int, _ place: CachePlace, part: Int, entries: Int, tokens: Int,
    group: Int
  ) {
    let (outer, inner, parts) = shape(place, part: part)
    let holders = members(of: group, stage: place.stage)
    for (tensor, number) in holders.enumerated() {
      guard let rank = executor(number) else { continue }
      let index = tensor * parts / holders.count
      var held: [Float] = []
      for block in 0..<(entries * outer) {
        let start = (block * parts + index) * inner
        held += whole[start..<(start + inner)]
      }
      let cache = rank.cache(of: sequence)
      cache.reserve(tokens)
      cache.entries[place.entry].parts[part].memory.copy(from: held)
    }
  }
}
