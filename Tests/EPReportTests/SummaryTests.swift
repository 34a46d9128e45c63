import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

@testable import EPReport

@Suite struct SummaryTests {
  @Test func saysWhatAPersonWantsFirst() throws {
    let text = PlanSummary(try compile(deepSeekV3(), [(.decode, Mesh(dp: 144, ep: 144))])).text()
    for fact in [
      "671 B, 37.6 B of them activated for a token, MTP adds 11.6 B",
      "58 MoE + 3 dense, MTP depth 1", "fp8 matrices and experts, bf16 the rest",
      "h200:144: 18 nodes of 8", "144 ranks, 0-143 of the cluster",
      "MLA, 128 heads, latent 512 + 64 rotary",
      "256 experts + 32 redundant in 288 slots, 2 a rank; top-8 + shared, 2048 wide",
      "sigmoid scores, correction bias, 4 of 8 groups", "69.8 KiB a token",
    ] {
      #expect(text.contains(fact), "\(fact)")
    }
  }

  // 128 tokens x 8 experts x 7168 elements x 2 bytes.
  @Test func dispatchSendsOwnTokensTimesExpertsTimesRow() throws {
    let plan = try compile(deepSeekV3(), [(.decode, Mesh(dp: 144, ep: 144))])
    let layer = try #require(PoolSummary(pool: plan.pools[0]).collectives.first)
    #expect(layer.calls == 58)
    #expect(layer.traffic.map(\.kind) == [.dispatch, .combine])
    #expect(layer.traffic.map(\.bytes) == [128 * 8 * 7168 * 2, 128 * 8 * 7168 * 2])
    #expect(PoolSummary(pool: plan.pools[0]).bytesSentInStep == 59 * 2 * 128 * 8 * 7168 * 2)
  }

  @Test func ringCollectivesSendTheirShare() throws {
    let plan = try compile(deepSeekV3(), [(.prefill, Mesh(dp: 8, tp: 4, ep: 32))])
    let pool = plan.pools[0]
    let index = try #require(pool.functions.firstIndex { $0.function.name == "layer0" })
    let traffic = pool.functions[index].traffic(in: pool)
    let whole = pool.load.tokens * 7168 * 2
    #expect(traffic.contains { $0.kind == .reduceScatter && $0.bytes == whole / 4 * 3 })
    #expect(traffic.contains { $0.kind == .allGather && $0.bytes == whole / 4 * 3 })
    #expect(traffic.allSatisfy { $0.group == "tp" && $0.ranks == 4 })
  }

  @Test func twoPoolsShowTheHandover() throws {
    let plan = try compile(
      deepSeekV3(), [(.prefill, Mesh(dp: 32, ep: 32)), (.decode, Mesh(dp: 144, ep: 144))])
    let text = PlanSummary(plan).text()
    #expect(text.contains("prefill to decode: 69.8 KiB a token, 279 MiB a sequence of 4096 tokens"))
    #expect(text.contains("144 ranks, 32-175 of the cluster"))
    #expect(PlanSummary(plan).document.json.contains("\"bytes_per_token\":71424"))
  }

  @Test func hybridsShowEachAttentionWithItsLayers() throws {
    for tp in [1, 2] {
      let text = PlanSummary(try compile(mixedAttention(), [(.decode, Mesh(tp: tp))])).text()
      let over = tp > 1 ? " over 2 ranks" : ""
      for fact in [
        "8 dense",
        "GQA, 8 heads of 16 on 2 KV heads\(over), window 128 (2 of 8 layers)",
        "GQA, 8 heads of 16 on 2 KV heads\(over) (1 of 8 layers)",
        "linear attention (delta rule), 8 heads\(over) (5 of 8 layers)", "a sequence, all layers",
      ] {
        #expect(text.contains(fact), "\(fact)\n\(text)")
      }
      #expect(text.contains("collectives  none") == (tp == 1))
    }
  }

  @Test(arguments: [40, 80, 100, 200]) func linesFitTheTerminal(width: Int) throws {
    for mesh in [Mesh(dp: 4, ep: 4), Mesh(pp: 2, dp: 2, tp: 2, ep: 4), Mesh()] {
      let text = PlanSummary(try compile(SampleModels.tinyDeepSeek(), [(.unified, mesh)])).text(
        width: width)
      let longest = text.split(separator: "\n").map(\.count).max() ?? 0
      #expect(longest <= max(width, 80), "\(mesh)")
      #expect(!text.contains("\u{1b}"))
    }
  }

  @Test func colourOnlyAddsEscapes() throws {
    let summary = PlanSummary(
      try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 4, ep: 4))]))
    var coloured = summary.text(colour: true)
    #expect(coloured.contains("\u{1b}[1mTiny\u{1b}[0m"))
    coloured.replace(/\u{1b}\[[0-9]+m/, with: "")
    #expect(coloured == summary.text())
  }

  @Test func aTinyPlanLooksLikeThis() throws {
    let plan = try compile(SampleModels.tinyDeepSeek(), [(.decode, Mesh(dp: 4, ep: 4))])
    #expect(PlanSummary(plan).text(width: 90) == golden, "\(PlanSummary(plan).text(width: 90))")
  }
}

private let golden = """
  Tiny
    parameters   292 K, 181 K of them activated for a token, MTP adds 31.6 K
    layers       3 MoE + 1 dense, MTP depth 1
    shape        hidden 64, vocabulary 256
    precision    bf16 weights; bf16 activations and caches
    cluster      h200:4: 1 node of 4, 118 GiB usable of 131 GiB a device

  decode  pp 1  dp 4  tp 1  ep 4
    ranks        4 ranks, 0-3 of the cluster
    load         64 sequences and at most 128 tokens a step in each of 4 data groups,
                 context 4096
    attention    MLA, 8 heads, latent 16 + 8 rotary
    experts      16 experts in 16 slots, 4 a rank; top-4 + shared, 16 wide
    router       sigmoid scores, correction bias, 2 of 4 groups
    KV cache     240 B a token, all layers and tensor ranks

    memory  the fullest rank: 61.3 MiB of 118 GiB usable
      dense weights    343 KiB  < 0.1 %  ▏·······································
      expert weights  72.0 KiB  < 0.1 %  ▏·······································
      KV cache        60.0 MiB  < 0.1 %  ▏·······································
      activations      419 KiB  < 0.1 %  ▏·······································
      communication    512 KiB  < 0.1 %  ▏·······································
      total           61.3 MiB    0.1 %  ▏·······································
      arena      419 KiB, that of layer1, the most bytes alive at once

    collectives  bytes a rank sends, even routing; 384 KiB a step in all
      layer1  layers 1-3  dispatch  ep 4  64.0 KiB  low_latency
                          combine   ep 4  64.0 KiB  low_latency

  decisions
    - decode: 64 sequences a data group
    - cluster h200:4, since none was given and the plan takes 4 devices

  """
