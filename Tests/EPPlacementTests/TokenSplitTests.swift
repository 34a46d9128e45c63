import EPPlacement
import Testing

@Suite struct TokenSplitTests {
  @Test func tokensAreSplitExactlyAndNoSetOfRanksCouldDoBetter() throws {
    var random = SeededRandom(seed: 19)
    for _ in 0..<300 {
      let input = try RandomInput(&random, mostExperts: 12, mostRanks: 6)
      let shape = input.shape
      let slots = try ExpertBalancer(shape: shape).place(weights: input.weights).slots
      let tokens = (0..<shape.experts).map { _ in random.below(50) }
      let (split, most) = try TokenSplit(shape: shape, slots: slots).split(tokens: tokens)
      var perExpert = Array(repeating: 0, count: shape.experts)
      var perRank = Array(repeating: 0, count: shape.ranks)
      for (slot, amount) in split.enumerated() {
        #expect(amount >= 0)
        perExpert[slots[slot]] += amount
        perRank[slot / shape.slotsPerRank] += amount
      }
      #expect(perExpert == tokens)
      #expect(perRank.max() ?? 0 <= most)
      // By Hall's theorem the optimum is the largest mean over sets of ranks of the tokens that can
      // go nowhere else.
      var needed = 0
      for set in 1..<(1 << shape.ranks) {
        var inside = Array(repeating: true, count: shape.experts)
        for (slot, expert) in slots.enumerated()
        where set >> (slot / shape.slotsPerRank) & 1 == 0 {
          inside[expert] = false
        }
        let held = tokens.indices.reduce(0) { $0 + (inside[$1] ? tokens[$1] : 0) }
        let size = set.nonzeroBitCount
        needed = max(needed, (held + size - 1) / size)
      }
      #expect(most == needed)
    }
  }

  @Test func sharesAddUpAndAreNoWorseThanEvenOnes() throws {
    var random = SeededRandom(seed: 23)
    for _ in 0..<200 {
      let input = try RandomInput(&random)
      let placed = try ExpertBalancer(shape: input.shape).place(weights: input.weights)
      let (shares, most) = try TokenSplit(shape: input.shape, slots: placed.slots)
        .shares(weights: input.weights)
      var sums = Array(repeating: 0.0, count: input.shape.experts)
      for (slot, expert) in placed.slots.enumerated() { sums[expert] += shares[slot] }
      #expect(sums.allSatisfy { abs($0 - 1) < 1e-6 })
      #expect(most <= placed.most * (1 + 1e-6) + 1e-6)
    }
  }

  @Test func splittingEachBatchIsNoWorseThanAnyFixedShare() throws {
    var random = SeededRandom(seed: 29)
    let loads = try LoadDistribution.zipf(exponent: 1).loads(
      layers: 1, experts: 32, tokens: 1e6, seed: 1)
    let shape = try PlacementShape(experts: 32, redundant: 16, ranks: 8)
    let slots = try ExpertBalancer(shape: shape).place(weights: loads.rows[0]).slots
    let balance = try ExpertBalancer.batchBalance(
      shape: shape, slots: slots, weights: loads.rows[0], tokens: 2000, batches: 20,
      random: &random)
    #expect(balance.perBatch >= balance.roundRobin)
    #expect(balance.perBatch > balance.even - 0.01)
  }
}

@Suite struct NodesVisitedTests {
  @Test func nodesFollowFromThePlacement() throws {
    let shape = try PlacementShape(experts: 256, ranks: 32, slotsPerRank: 8, nodes: 4, groups: 8)
    let inOrder = Array(0..<256)
    let even = Array(repeating: 1.0, count: 256)
    func visited(_ slots: [Int], kept: Int, topK: Int = 8) -> Double {
      shape.nodesVisited(slots: slots, weights: even, topK: topK, keptGroups: kept, tokens: 4000)
    }
    // Kept groups lie in 4 (1 - C(6,4) / C(8,4)) = 3.14 of 4 nodes; not all of them are chosen from.
    #expect(abs(visited(inOrder, kept: 4) - 2.92) < 0.04)
    // Every expert anywhere: 4 (1 - C(192,8) / C(256,8)) = 3.62.
    let spread = (0..<256).map { $0 % 8 * 32 + $0 / 8 }
    #expect(abs(visited(spread, kept: 4) - 3.62) < 0.06)
    #expect(visited(inOrder, kept: 1) == 1)
    #expect(visited(spread, kept: 8, topK: 1) == 1)
    // Nearly all tokens go to one expert: there is no waiting for others.
    var heavy = even
    heavy[0] = 1e12
    let few = shape.nodesVisited(slots: inOrder, weights: heavy, topK: 8, keptGroups: 4)
    #expect(few >= 1 && few <= 4)
  }
}
