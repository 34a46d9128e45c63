/// Where one layer's experts are, and how even that is when replicas share tokens evenly.
public struct LayerPlacement: Hashable, Sendable {
  /// The logical expert in each slot, ranks one after the other.
  public var slots: [Int]
  /// Tokens of each rank.
  public var rankLoads: [Double]
  /// Tokens no placement could get the fullest rank below: see docs/placement.md.
  public var bound: Double
  /// Tokens of the fullest rank under DeepSeek's greedy balancer, for comparison.
  public var greedyMost: Double

  /// Tokens of the fullest rank.
  public var most: Double { rankLoads.max() ?? 0 }
  /// Tokens of a rank on average.
  public var mean: Double { rankLoads.reduce(0, +) / Double(max(rankLoads.count, 1)) }
  /// Mean over fullest: 1 when all ranks are alike; 1 without tokens.
  public var balance: Double { most > 0 ? mean / most : 1 }
  /// The balance that the bound allows.
  public var balanceBound: Double { bound > 0 ? min(mean / bound, 1) : 1 }
  /// How far the fullest rank may be from the best one, as a part of it.
  public var gap: Double { most > 0 ? max(1 - bound / most, 0) : 0 }

  /// Slots of each expert.
  public func counts(experts: Int) -> [Int] {
    var counts = Array(repeating: 0, count: experts)
    for expert in slots { counts[expert] += 1 }
    return counts
  }
}

extension PlacementShape {
  /// Tokens of each rank for slots of this shape, where replicas share evenly.
  public func rankLoads(slots: [Int], weights: [Double]) -> [Double] {
    var counts = Array(repeating: 0, count: experts)
    for expert in slots { counts[expert] += 1 }
    var loads = Array(repeating: 0.0, count: ranks)
    for (slot, expert) in slots.enumerated() {
      loads[slot / slotsPerRank] += weights[expert] / Double(counts[expert])
    }
    return loads
  }

  /// What is wrong with slots of this shape: nothing, or one phrase.
  public func fault(in slots: [Int]) -> String? {
    guard slots.count == self.slots else { return "\(slots.count) slots, not \(self.slots)" }
    var seen = Array(repeating: -1, count: experts)
    for (slot, expert) in slots.enumerated() {
      guard expert >= 0 && expert < experts else { return "slot \(slot) holds no expert" }
      let rank = slot / slotsPerRank
      if seen[expert] == rank { return "rank \(rank) holds expert \(expert) twice" }
      seen[expert] = rank
    }
    return seen.firstIndex(of: -1).map { "expert \($0) has no slot" }
  }

  /// The first expert that is outside the node of its group, if any is.
  public func strayExpert(in slots: [Int]) -> Int? {
    var home = Array(repeating: -1, count: groups)
    for (slot, expert) in slots.enumerated() {
      let group = expert / (experts / groups)
      let node = node(of: slot / slotsPerRank)
      if home[group] >= 0 && home[group] != node { return expert }
      home[group] = node
    }
    return nil
  }
}
