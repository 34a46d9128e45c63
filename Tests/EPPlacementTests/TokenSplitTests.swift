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
