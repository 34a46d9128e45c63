internal import EPModel
public import EPPlacement
public import EPPlan
internal import Glibc

extension LoadSource {
  /// The loads of a pool's layers with experts, MTP depths left out; as far as tokens that choose different
  /// experts can make them.
  public func loads(of pool: Pool) throws(PlacementError) -> ExpertLoads {
    let drafts = Set(pool.drafts.flatMap(\.layers))
    let placements = pool.placements.filter { !drafts.isSuperset(of: $0.layers) }
    let layers = Set(placements.flatMap(\.layers)).subtracting(drafts).sorted()
    let modelLayers = Set(pool.stages.joined().flatMap(\.layers)).subtracting(drafts).count
    let made = try loads(
      layers: layers, of: modelLayers, experts: placements.first?.experts ?? 1)
    let function = placements.first.map { pool.functions[$0.function].function }
    let dispatch = function?.operations.first { $0.kind == .dispatch }
    guard case .value(let indices)? = dispatch?.operand("indices"), let function else {
      return made
    }
    return made.feasible(topK: function.values[indices].elementsPerRow)
  }
}

extension ExpertPlacement {
  /// The share of a layer's routed tokens that each slot takes, all slots together 1. Replicas share
  /// evenly, or as the best split of the loads where batches are split; experts without loads are
  /// alike.
  public func slotShares(for loads: [Double]?) -> [Double] {
    let loads = loads ?? []
    var shares = Array(repeating: 0.0, count: slots.count)
    var total = 0.0
    for (expert, slots) in replicas.enumerated() where !slots.isEmpty {
      let load = loads.count == experts ? max(loads[expert], 0) : 1
      total += load
      for slot in slots { shares[slot] = load / Double(slots.count) }
    }
    guard total > 0 else { return shares }
    if sharing == .batch, let split = tokenSplit {
      let weights = loads.count == experts ? loads : Array(repeating: 1, count: experts)
      do throws(PlacementError) {
        let parts = try split.shares(weights: weights).slots
        for (slot, expert) in slots.enumerated() {
          shares[slot] = max(weights[expert], 0) * parts[slot]
        }
      } catch {
        // Loads too large to split exactly: even shares stand.
      }
    }
    for slot in shares.indices { shares[slot] /= total }
    return shares
  }

  /// What splits tokens over these slots; nil for slots that no verified plan has.
  private var tokenSplit: TokenSplit? {
    do throws(PlacementError) {
      let shape = try PlacementShape(
        experts: experts, ranks: slots.count / max(slotsPerRank, 1), slotsPerRank: slotsPerRank)
      return try TokenSplit(shape: shape, slots: slots)
    } catch { return nil }
  }
}

/// Where a token's copies go: how many nodes it visits.
public enum NodeVisits {
  /// The expected number of nodes that hold at least one of `topK` experts out of `experts`, spread
  /// evenly over `nodes`. With groups, of which `kept` are drawn, a token visits the nodes of its
  /// kept groups: 3.14 of 4 for DeepSeek-V3 on 32 devices.
  public static func expected(
    nodes: Int, experts: Int, topK: Int, groups: Int = 0, kept: Int = 0
  ) -> Double {
    if nodes <= 1 { return 1 }
    let all = Double(nodes)
    if groups > 1 && kept > 0 && kept < groups {
      if nodes <= groups {
        let own = Double(groups) / all
        return min(all, Double(topK), all * (1 - without(own, of: Double(groups), draws: kept)))
      }
      // Each group lies on several nodes; its share of the experts picks among them.
      let spread = all / Double(groups)
      let draws = Double(topK) / Double(kept)
      return min(Double(topK), Double(kept) * spread * (1 - pow(1 - 1 / spread, draws)))
    }
    return all * (1 - without(Double(experts) / all, of: Double(experts), draws: topK))
  }

  /// The chance that none of `draws` different things out of `count` is one of `marked`.
  private static func without(_ marked: Double, of count: Double, draws: Int) -> Double {
    var chance = 1.0
    for draw in 0..<draws {
      chance *= max(0, (count - marked - Double(draw)) / max(count - Double(draw), 1))
    }
    return chance
  }
}
