extension PlacementShape {
  /// The nodes that the experts of a token are on, on average over tokens drawn from a seed.
  ///
  /// A token draws `keptGroups` of the groups in proportion to their loads, then `topK` different
  /// experts of those in proportion to theirs, and of each expert any replica.
  public func nodesVisited(
    slots: [Int], weights: [Double], topK: Int, keptGroups: Int, tokens: Int = 256,
    seed: UInt64 = 1
  ) -> Double {
    if nodes <= 1 { return 1 }
    var draw = TokenDraw(self, weights: weights, topK: topK, keptGroups: keptGroups, seed: seed)
    var homes = Array(repeating: [Int](), count: experts)
    for (slot, expert) in slots.enumerated() { homes[expert].append(node(of: slot / slotsPerRank)) }
    var visited = 0
    var lastToken = Array(repeating: -1, count: nodes)
    for token in 0..<max(tokens, 1) {
      for expert in draw.experts() {
        let home = homes[expert][draw.random.below(homes[expert].count)]
        if lastToken[home] != token {
          lastToken[home] = token
          visited += 1
        }
      }
    }
    return Double(visited) / Double(max(tokens, 1))
  }
}

/// Draws the experts of tokens as a router with limited groups would.
private struct TokenDraw {
  var random: SeededRandom
  private let topK: Int
  private let kept: Int
  private let groupSize: Int
  private let groups: Int
  private var groupTable: AliasTable
  private var expertTable: AliasTable
  private let order: [Int]

  init(
    _ shape: PlacementShape, weights: [Double], topK: Int, keptGroups: Int, seed: UInt64
  ) {
    random = SeededRandom(seed: seed)
    groups = shape.groups
    groupSize = shape.experts / shape.groups
    kept = min(max(keptGroups, 1), shape.groups)
    self.topK = min(topK, kept * groupSize)
    // Without tokens all experts are alike.
    let weights =
      weights.reduce(0, +) > 0 ? weights : Array(repeating: 1.0, count: shape.experts)
    var sums = Array(repeating: 0.0, count: groups)
    for (expert, weight) in weights.enumerated() { sums[expert / groupSize] += weight }
    groupTable = AliasTable(weights: sums)
    expertTable = AliasTable(weights: weights)
    order = weights.indices.sorted {
      weights[$0] > weights[$1] || (weights[$0] == weights[$1] && $0 < $1)
    }
  }

  /// Different experts of a token. What is drawn again and again is not waited for: the heaviest
  /// that are left stand in.
  mutating func experts() -> [Int] {
    var isKept = Array(repeating: kept == groups, count: groups)
    var missing = kept == groups ? 0 : kept
    for _ in 0..<(16 * groups) where missing > 0 {
      let group = groupTable.draw(&random)
      if !isKept[group] {
        isKept[group] = true
        missing -= 1
      }
    }
    for group in 0..<groups where missing > 0 && !isKept[group] {
      isKept[group] = true
      missing -= 1
    }
    var chosen: [Int] = []
    for _ in 0..<(16 * topK) where chosen.count < topK {
      let expert = expertTable.draw(&random)
      if isKept[expert / groupSize] && !chosen.contains(expert) { chosen.append(expert) }
    }
    for expert in order where chosen.count < topK {
      if isKept[expert / groupSize] && !chosen.contains(expert) { chosen.append(expert) }
    }
    return chosen
  }
}
