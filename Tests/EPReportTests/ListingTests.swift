import EPIR
import EPModel
import EPPlan
import EPReport
import EPTestSupport
import Testing

@Suite struct ListingTests {
  @Test func aRankShowsItsPartOfEveryWeight() throws {
    let plan = try compile(deepSeekV3(), [(.prefill, Mesh(dp: 8, tp: 4, ep: 32))])
    let text = try #require(RankListing(plan, pool: 0, rank: 5)).text()
    for fact in [
      "rank 5 of 32, prefill", "data group 1 of 8, tensor rank 1 of 4, expert rank 5 of 32",
      "4 ranks: 4, 5, 6, 7", "32 ranks: 0-31",
      "embed, layer0[0-2], layer3[3-60], head, draft[61] (MTP)", "heads 32-63 of 128",
      "40-47 in slots 40-47", "vocabulary 32320-64639 of 129280",
    ] {
      #expect(text.contains(fact), "\(fact)")
    }
  }

  @Test func aRankShowsTheCallsOfItsStageAlone() throws {
    let plan = try compile(
      SampleModels.tinyDeepSeek(), [(.unified, Mesh(pp: 2, dp: 2, tp: 2, ep: 4))])
    let first = try #require(RankListing(plan, pool: 0, rank: 0)).text()
    let last = try #require(RankListing(plan, pool: 0, rank: 7)).text()
    #expect(first.contains("embed, ") && !first.contains("head,"))
    #expect(last.contains("receive_x, ") && last.contains("draft[4] (MTP)"))
  }

  @Test func thereIsNoListingOfARankThatIsNotThere() throws {
    let plan = try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 4, ep: 4))])
    #expect(RankListing(plan, pool: 0, rank: 4) == nil)
    #expect(RankListing(plan, pool: 0, rank: -1) == nil)
    #expect(RankListing(plan, pool: 1, rank: 0) == nil)
  }

  @Test func operationsComeWithCallsStreamsAndWaits() throws {
    let text = OpListing(try compile(deepSeekV3(), [(.decode, Mesh(dp: 144, ep: 144))])).text
    for fact in [
      "// DeepSeek-V3, decode, pp1 dp144 tp1 ep144",
      "// stage 0: embed, layer0[0-2], layer3[3-60], head", "// MTP: draft[61]",
      "// layer3: 58 calls, layers 3-60; 30 operations, 2 on the communication stream",
      "communication, waits for 17",
    ] {
      #expect(text.contains(fact), "\(fact)")
    }
  }
}
