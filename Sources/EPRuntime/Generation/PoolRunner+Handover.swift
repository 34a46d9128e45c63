internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

extension PoolRunner {
  /// Where a cache of a layer is: the stage, and the place among a rank's caches.
  private struct CachePlace {
    var stage: Int
    var entry: Int
    var declaration: CacheDeclaration
    var parts: Int
  }

  private struct CacheKey: Hashable {
    var layer: Int
    var function: Int
    var cache: Int
  }

  private var cachePlaces: [CacheKey: CachePlace] {
    var places: [CacheKey: CachePlace] = [:]
    for rank in ranks where rank.program.coordinates.data == 0 {
      if rank.program.coordinates.tensor > 0 { continue }
      var entry = 0
      for call in rank.program.calls {
        let function = pool.functions[call.function]
        for (cache, declaration) in function.function.caches.enumerated() {
          places[CacheKey(layer: call.layer, function: call.function, cache: cache)] = CachePlace(
            stage: rank.program.coordinates.stage, entry: entry, declaration: declaration,
            parts: function.cacheParts[cache])
          entry += 1
        }
      }
    }
    return places
  }

  /// Copies all caches of a sequence to another pool, from one split over tensor ranks to another.
  ///
  /// - Returns: the bytes that the plan counts for it.
  func handOver(
    _ sequence: Int, tokens: Int, from group: Int, to other: PoolRunner<D>, group otherGroup: Int
  ) -> Int {
    var bytes = 0
    let targets = other.cachePlaces
    for (key, place) in cachePlaces {
      guard let target = targets[key] else { continue }
      let grows = place.declaration.kind.growsWithContext
      let entries = grows ? tokens : 1
      for part in place.declaration.parts.indices {
        let whole = gather(sequence, place, part: part, entries: entries, group: group)
        other.scatter(
          whole, sequence, target, part: part, entries: entries, tokens: tokens, group: otherGroup)
      }
      bytes +=
        entries * place.declaration.elementsPerEntry * place.parts
        * pool.cacheElementBytes(place.declaration.kind)
    }
    return bytes
  }

  private func members(of group: Int, stage: Int) -> [RankExecutor<D>] {
    (0..<pool.mesh.tp).map { ranks[stage * pool.mesh.stageRanks + group * pool.mesh.tp + $0] }
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
  ) -> [Float] {
    let (outer, inner, parts) = shape(place, part: part)
    let holders = members(of: group, stage: place.stage)
    let held = (0..<parts).map { index -> [Float] in
      let rank = holders[index * holders.count / parts]
      return rank.caches[sequence]?.entries[place.entry].parts[part].memory
        .elements(from: 0, count: entries * outer * inner).floats ?? []
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
    for (tensor, rank) in holders.enumerated() {
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
