/// Places the routed experts of layers: how many slots each expert has, and which.
///
/// Never worse than DeepSeek's greedy balancer where that gives a placement at all: it may put an
/// expert twice on a rank, which no engine can run.
public struct ExpertBalancer: Sendable {
  /// Over what slots are chosen.
  public enum Mode: String, Hashable, Sendable, CaseIterable {
    /// All ranks are alike.
    case global
    /// The experts of a group stay in one node.
    case hierarchical
  }

  /// The slots.
  public let shape: PlacementShape
  /// Over what slots are chosen.
  public let mode: Mode
  /// Layers that are worked on at a time.
  public let threads: Int
  var effort = LayerSearch.Effort()

  /// Makes a balancer; throws when groups cannot be kept in nodes.
  public init(
    shape: PlacementShape, mode: Mode = .global, threads: Int = 2
  ) throws(PlacementError) {
    if mode == .hierarchical && !shape.canKeepGroups {
      throw .shape(
        "\(shape.groups) groups of \(shape.experts) experts cannot be kept in \(shape.nodes) nodes "
          + "of \(shape.ranks / shape.nodes) ranks with \(shape.slotsPerRank) slots")
    }
    self.shape = shape
    self.mode = mode
    self.threads = max(threads, 1)
  }

  /// Places one layer.
  public func place(weights: [Double]) throws(PlacementError) -> LayerPlacement {
    try check(weights)
    return mode == .global ? placeGlobally(weights) : placeByNode(weights)
  }

  /// Places all layers, each by its own loads. The result does not depend on `threads`.
  public func place(_ loads: ExpertLoads) throws(PlacementError) -> [LayerPlacement] {
    for row in loads.rows { try check(row) }
    let rows = loads.rows
    return concurrentMap(rows.count, threads: threads) {
      mode == .global ? placeGlobally(rows[$0]) : placeByNode(rows[$0])
    }
  }

  private func check(_ weights: [Double]) throws(PlacementError) {
    if weights.count != shape.experts {
      throw .shape("\(weights.count) loads for \(shape.experts) experts")
    }
    if !weights.allSatisfy({ $0 >= 0 && $0 <= 1e15 }) {
      throw .shape("a load is negative, too large or not a number")
    }
  }

  private func placeGlobally(_ weights: [Double]) -> LayerPlacement {
    let search = LayerSearch(
      weights: weights, ranks: shape.ranks, slotsPerRank: shape.slotsPerRank, effort: effort)
    return finish(search.slots, weights, search.bound, search.greedyMost)
  }

  /// Groups to nodes first, then each node on its own.
  private func placeByNode(_ weights: [Double]) -> LayerPlacement {
    let size = shape.experts / shape.groups
    var groupWeights = Array(repeating: 0.0, count: shape.groups)
    for (expert, weight) in weights.enumerated() { groupWeights[expert / size] += weight }
    let greedyNodes = GreedyPlacement.nodes(ofGroups: groupWeights, nodes: shape.nodes)
    let evened = evened(greedyNodes, groupWeights)
    var best = place(weights, nodeOfGroup: greedyNodes)
    if evened != greedyNodes {
      let other = place(weights, nodeOfGroup: evened)
      if other.most < best.most { best = other }
    }
    let perNode = shape.groups / shape.nodes
    let lightest = groupWeights.sorted().prefix(perNode - 1).reduce(0, +)
    let heaviest = groupWeights.max() ?? 0
    let nodeBound = (heaviest + lightest) / Double(shape.ranks / shape.nodes)
    let globally = RankLoadBound.value(
      weights: weights, ranks: shape.ranks, slotsPerRank: shape.slotsPerRank)
    // With one group a node, which experts share a node is given, and each node's bound holds.
    best.bound = max(perNode == 1 ? best.bound : 0, globally, nodeBound * (1 - 1e-12))
    best.bound = min(best.bound, best.most)
    return best
  }

  private func place(_ weights: [Double], nodeOfGroup: [Int]) -> LayerPlacement {
    let size = shape.experts / shape.groups
    let ranks = shape.ranks / shape.nodes
    var slots: [Int] = []
    slots.reserveCapacity(shape.slots)
    var bound = 0.0
    var greedyMost = 0.0
    for node in 0..<shape.nodes {
      let experts = weights.indices.filter { nodeOfGroup[$0 / size] == node }
      let search = LayerSearch(
        weights: experts.map { weights[$0] }, ranks: ranks, slotsPerRank: shape.slotsPerRank,
        effort: effort)
      slots += search.slots.map { experts[$0] }
      bound = max(bound, search.bound)
      greedyMost = max(greedyMost, search.greedyMost)
    }
    return finish(slots, weights, bound, greedyMost)
  }

  /// Swaps groups between nodes while that lowers the heaviest node.
  private func evened(_ nodes: [Int], _ weights: [Double]) -> [Int] {
    var state = LayerState(
      weights: weights, ranks: shape.nodes, slotsPerRank: shape.groups / shape.nodes)
    state.pack(counts: Array(repeating: 1, count: weights.count))
    state.exchange(until: 0, limit: 200)
    var result = nodes
    for (slot, group) in state.slots.enumerated() { result[group] = slot / state.slotsPerRank }
    return result
  }

  private func finish(
    _ slots: [Int], _ weights: [Double], _ bound: Double, _ greedyMost: Double
  ) -> LayerPlacement {
    let loads = shape.rankLoads(slots: slots, weights: weights)
    // Sums in another order may differ in the last digits.
    let most = loads.max() ?? 0
    return LayerPlacement(
      slots: slots, rankLoads: loads, bound: min(bound, most), greedyMost: greedyMost)
  }
}

extension RankLoadBound {
  /// The lower bound for weights, ranks and slots.
  static func value(weights: [Double], ranks: Int, slotsPerRank: Int) -> Double {
    let counts = ReplicaCounts.smallestLargestPiece(
      weights: weights, slots: ranks * slotsPerRank, most: ranks)
    var largest = 0.0
    for expert in weights.indices {
      largest = max(largest, weights[expert] / Double(counts[expert]))
    }
    var bounds = RankLoadBound(weights: weights, ranks: ranks, slotsPerRank: slotsPerRank)
    return bounds.value(largestPiece: largest)
  }
}
