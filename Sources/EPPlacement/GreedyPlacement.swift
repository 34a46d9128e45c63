/// DeepSeek's expert-parallel load balancer as published: the baseline.
///
/// Slots go one at a time to the expert whose pieces are largest; pieces go from large to small onto
/// the emptiest rank with a free slot. Nothing keeps an expert from being twice on a rank.
struct GreedyPlacement {
  /// The expert in each slot.
  var slots: [Int]
  /// Tokens of the fullest rank.
  var most: Double
  /// Whether no rank holds an expert twice.
  var isLegal: Bool

  /// Balances over all ranks at once.
  init(weights: [Double], ranks: Int, slotsPerRank: Int) {
    let counts = ReplicaCounts.smallestLargestPiece(
      weights: weights, slots: ranks * slotsPerRank, most: .max)
    self.init(weights: weights, counts: counts, ranks: ranks, slotsPerRank: slotsPerRank)
  }

  private init(weights: [Double], counts: [Int], ranks: Int, slotsPerRank: Int) {
    var pieces = weights
    for expert in weights.indices { pieces[expert] /= Double(counts[expert]) }
    let order = weights.indices.sorted {
      pieces[$0] > pieces[$1] || (pieces[$0] == pieces[$1] && $0 < $1)
    }
    slots = Array(repeating: -1, count: ranks * slotsPerRank)
    var load = Array(repeating: 0.0, count: ranks)
    var used = Array(repeating: 0, count: ranks)
    var heap = KeyHeap(capacity: ranks)
    for rank in 0..<ranks { heap.push(0, rank) }
    isLegal = true
    for expert in order {
      for _ in 0..<counts[expert] {
        guard let rank = heap.pop() else { break }
        let start = rank * slotsPerRank
        for slot in start..<(start + used[rank]) where slots[slot] == expert { isLegal = false }
        slots[start + used[rank]] = expert
        used[rank] += 1
        load[rank] += pieces[expert]
        if used[rank] < slotsPerRank { heap.push(load[rank], rank) }
      }
    }
    most = load.max() ?? 0
  }

  /// Which node each group of experts goes to: groups from heavy to light, each to the emptiest node
  /// with room.
  static func nodes(ofGroups weights: [Double], nodes: Int) -> [Int] {
    let order = weights.indices.sorted {
      weights[$0] > weights[$1] || (weights[$0] == weights[$1] && $0 < $1)
    }
    var free = Array(repeating: weights.count / nodes, count: nodes)
    var result = Array(repeating: 0, count: weights.count)
    var heap = KeyHeap(capacity: nodes)
    var load = Array(repeating: 0.0, count: nodes)
    for node in 0..<nodes { heap.push(0, node) }
    for group in order {
      guard let node = heap.pop() else { break }
      result[group] = node
      load[node] += weights[group]
      free[node] -= 1
      if free[node] > 0 { heap.push(load[node], node) }
    }
    return result
  }
}
