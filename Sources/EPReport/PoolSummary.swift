internal import EPIR
internal import EPModel
internal import EPPlan

/// The figures of a pool that a summary shows, in text and as data alike.
struct PoolSummary {
  /// A function's collectives and who calls it.
  struct Collectives {
    /// The function's name.
    var name: String
    /// The layers that call it; empty where it belongs to none.
    var layers: [Int]
    /// How often a step runs it, MTP depths included.
    var calls: Int
    /// Whether it is an MTP depth.
    var isDraft: Bool
    /// What it sends.
    var traffic: [Traffic]
  }

  /// The pool.
  let pool: Pool

  /// Calls of layers, each with the function that is its body; MTP depths are left out.
  var layerCalls: [(function: Int, layers: [Int])] {
    var layers: [Int: [Int]] = [:]
    for call in pool.stages.joined() where !call.layers.isEmpty {
      layers[call.function, default: []] += call.layers
    }
    return layers.sorted { ($0.value.first ?? 0, $0.key) < ($1.value.first ?? 0, $1.key) }
      .map { ($0.key, $0.value.sorted()) }
  }

  /// Layers whose body has routed experts.
  var expertLayerCount: Int {
    layerCalls.reduce(0) { $0 + (body($1.function).hasExperts ? $1.layers.count : 0) }
  }

  /// All layers, MTP depths left out.
  var layerCount: Int { layerCalls.reduce(0) { $0 + $1.layers.count } }

  /// The phrases of a kind, each with the layers it holds for.
  func phrases(_ phrase: (LayerFunction) -> [String]) -> [(text: String, layers: Int)] {
    var found: [(text: String, layers: Int)] = []
    for call in layerCalls {
      for text in phrase(body(call.function)) {
        if let position = found.firstIndex(where: { $0.text == text }) {
          found[position].layers += call.layers.count
        } else {
          found.append((text, call.layers.count))
        }
      }
    }
    return found
  }

  /// What a function amounts to.
  func body(_ function: Int) -> LayerFunction {
    LayerFunction(sharded: pool.functions[function], pool: pool)
  }

  /// Where experts are, each distinct way with its layers.
  var placements: [(text: String, layers: Int)] {
    var found: [(text: String, layers: Int)] = []
    let bodies = Set(layerCalls.map(\.function))
    for placement in pool.placements where bodies.contains(placement.function) {
      let text = body(placement.function).experts(placement)
      if let position = found.firstIndex(where: { $0.text == text }) {
        found[position].layers += placement.layers.count
      } else {
        found.append((text, placement.layers.count))
      }
    }
    return found
  }

  /// The arena of the function that needs most room, and the least that one could have: the most
  /// bytes that its values take at once.
  var arena: (function: String, bytes: Int, least: Int)? {
    let fullest = pool.functions.max { $0.arenaBytes < $1.arenaBytes }
    return fullest.map { ($0.function.name, $0.arenaBytes, pool.leastArenaBytes(of: $0)) }
  }

  /// The collectives of every function that has any.
  var collectives: [Collectives] {
    var found: [Collectives] = []
    let drafts = Set(pool.drafts.map(\.function))
    for (index, function) in pool.functions.enumerated() {
      let calls = (pool.stages.joined() + pool.drafts).filter { $0.function == index }
      let traffic = function.traffic(in: pool)
      if traffic.isEmpty || calls.isEmpty { continue }
      found.append(
        Collectives(
          name: function.function.name, layers: calls.flatMap(\.layers).sorted(),
          calls: calls.reduce(0) { $0 + max($1.layers.count, 1) },
          isDraft: drafts.contains(index), traffic: traffic))
    }
    return found.enumerated().sorted {
      ($1.element.calls, $0.offset) < ($0.element.calls, $1.offset)
    }
    .map(\.element)
  }

  /// Bytes that a rank of the busiest stage sends in a step.
  var bytesSentInStep: Int {
    pool.stages.indices.map { stage in
      pool.calls(ofStage: stage).reduce(0) { sum, call in
        sum + max(call.layers.count, 1)
          * pool.functions[call.function].traffic(in: pool).reduce(0) { $0 + $1.bytes }
      }
    }.max() ?? 0
  }

  /// Bytes of caches for a token of context, and for a sequence whatever its length, over all layers
  /// and the tensor ranks of a data group.
  var cacheBytes: (perToken: Int, perSequence: Int) {
    var bytes = (perToken: 0, perSequence: 0)
    for call in pool.stages.joined() + pool.drafts {
      let function = pool.functions[call.function]
      for (cache, parts) in zip(function.function.caches, function.cacheParts) {
        let entry =
          cache.elementsPerEntry * parts * pool.cacheElementBytes(cache.kind)
          * max(call.layers.count, 1)
        if cache.kind.growsWithContext {
          bytes.perToken += entry
        } else {
          bytes.perSequence += entry
        }
      }
    }
    return bytes
  }

  /// The stage whose ranks hold most, and what they hold.
  var fullest: (stage: Int, table: MemoryTable)? {
    pool.memory.enumerated().max { ($0.element.total, $1.offset) < ($1.element.total, $0.offset) }
      .map { ($0.offset, $0.element) }
  }
}
