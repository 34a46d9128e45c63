import EPIR
import EPSearch
import Testing

@Suite struct ExpertSkewTests {
  @Test func evenLoadsAreBalancedWhereSlotsComeOutEven() throws {
    #expect(try ExpertSkew.even.balancedness(experts: 64, ranks: 8, slotsPerRank: 8) == 1)
    let uneven = try ExpertSkew.even.balancedness(experts: 64, ranks: 24, slotsPerRank: 3)
    #expect(uneven < 1 && uneven > 0.6)
  }

  @Test func placingHelpsAndMoreRanksHurt() throws {
    let skew = ExpertSkew.typical
    var last = 1.0
    for ranks in [8, 16, 32, 64] {
      let placed = try skew.balancedness(experts: 256, ranks: ranks, slotsPerRank: 256 / ranks + 1)
      let inOrder = try skew.balancedness(
        experts: 256, ranks: ranks, slotsPerRank: 256 / ranks, isBalanced: false)
      #expect(inOrder < placed && inOrder < last)
      last = inOrder
    }
  }

  @Test func aFactorMakesItWorse() throws {
    var skew = ExpertSkew.typical
    let before = try skew.balancedness(experts: 64, ranks: 16, slotsPerRank: 5)
    skew.factor = 1.2
    let after = try skew.balancedness(experts: 64, ranks: 16, slotsPerRank: 5)
    #expect(abs((1 / after - 1) - 1.2 * (1 / before - 1)) < 1e-12)
  }

  @Test func flagsNameDistributions() throws {
    #expect(try ExpertSkew(flag: "typical") == .typical)
    #expect(try ExpertSkew(flag: "even") == .even)
    #expect(try ExpertSkew(flag: "zipf:0.5") != .typical)
    for wrong in ["lognormal", "zipf:-1", "no-such-file.csv"] {
      #expect(throws: Diagnostics.self) { try ExpertSkew(flag: wrong) }
    }
  }
}
