import EPIR
import EPModel
import EPPlan
import Testing

@testable import EPExport

/// What is refused before an engine would.
@Suite struct PreflightTests {
  @Test func theBufferIsDeepEPs() {
    #expect(
      LowLatencyBuffer(experts: 384, tokens: 1024, hidden: 7168).bytes == 22_900_903_040)
    // 2.0 GiB for 288 slots at SGLang's default of 128 tokens.
    let bytes = LowLatencyBuffer(experts: 288, tokens: 128, hidden: 7168).bytes
    #expect((Double(bytes) / 0x1p30 * 10).rounded() == 20)
  }

  @Test func theMostTokensInABufferAreTheMost() {
    for experts in [8, 288, 384] {
      for hidden in [2048, 7168] {
        for room in [0, 1 << 20, 1 << 30, 40 << 30] {
          let buffer = LowLatencyBuffer(experts: experts, tokens: 0, hidden: hidden)
          let most = buffer.mostTokens(in: room)
          func bytes(_ tokens: Int) -> Int {
            LowLatencyBuffer(experts: experts, tokens: tokens, hidden: hidden).bytes
          }
          #expect(most == 0 || bytes(most) <= room)
          #expect(bytes(most + LowLatencyBuffer.tokenStep) > room)
        }
      }
    }
  }

  private func decode() throws -> PoolShape { try LargeModels.v3Plan.get().shapes[1] }

  private func failures(_ shape: PoolShape, _ engine: Engine) -> [String] {
    Preflight([shape], for: engine).problems.map(\.id)
  }

  @Test func deepSeekPassesForEveryEngineThatCanSayIt() throws {
    let plan = try LargeModels.v3Plan.get()
    #expect(Preflight(plan, for: .sglang).problems == [])
    #expect(Preflight(plan, for: .vllm).problems == [])
    #expect(Preflight(plan, for: .sglang).checks.count >= 10)
    // Attention over data groups of 4 ranks.
    #expect(Preflight(plan, for: .trtllm).problems.map(\.id) == ["preflight-attention"])
  }

  @Test func everyCheckCanFail() throws {
    let good = try decode()
    for engine in Engine.allCases { #expect(failures(good, engine) == []) }
    func expect(
      _ id: String, _ engine: Engine, _ words: String, _ change: (inout PoolShape) -> Void
    ) {
      var shape = good
      change(&shape)
      let problems = Preflight([shape], for: engine).problems
      #expect(
        problems.contains { $0.id == "preflight-" + id && $0.message.contains(words) },
        "\(id): \(problems)")
    }
    expect("experts", .sglang, "take '--redundant-experts 32'") { $0.slots = 260 }
    expect("heads", .sglang, "take '--tp 2'") { ($0.tp, $0.dp, $0.heads) = (3, 48, [128]) }
    expect("key-heads", .sglang, "neither a multiple nor a divisor") {
      ($0.tp, $0.dp, $0.keyHeads) = (3, 48, [8])
    }
    expect("dispatch-tokens", .sglang, "at most 512 sequences") { $0.sequences = 2048 }
    expect("dispatch-tokens", .vllm, "at most 512 sequences") { $0.sequences = 2048 }
    expect("dispatch-hidden", .sglang, "not 3000") { $0.hidden = 3000 }
    expect("dispatch-buffer", .sglang, "take more devices") { $0.usableBytes = 1 << 30 }
    expect("dispatch-buffer", .sglang, "at most") {
      ($0.sequences, $0.usableBytes) = (512, $0.memory.total - $0.memory.communication + (8 << 30))
    }
    expect("nodes", .sglang, "take 16 ranks") { ($0.dp, $0.ep, $0.slots) = (12, 12, 264) }
    expect("nodes", .sglang, "begins at rank 4") { $0.firstRank = 4 }
    expect("group-nodes", .vllm, "vLLM cannot lay") {
      ($0.tp, $0.dp, $0.ep, $0.slots) = (6, 24, 144, 288)
    }
    expect("expert-ranks", .vllm, "does both") {
      ($0.tp, $0.dp, $0.ep, $0.holdsWholeExperts) = (8, 4, 4, false)
    }
    expect("replicas", .vllm, "take '--redundant-experts 0'") {
      ($0.ep, $0.dp, $0.holdsWholeExperts) = (1, 1, true)
    }
    expect("replicas", .sglang, "take '--redundant-experts 0'") {
      ($0.ep, $0.dp, $0.holdsWholeExperts) = (1, 1, true)
    }
    expect("drafts", .sglang, "take '--mtp 0' or '--pp 1'") { $0.pp = 2 }
    expect("attention", .trtllm, "take '--tp 1'") { ($0.tp, $0.dp) = (2, 72) }
    expect("chunk", .sglang, "fewer tokens") { ($0.role, $0.tokens) = (.unified, 1 << 26) }
  }

  @Test func theFixesPass() throws {
    var shape = try decode()
    shape.sequences = 2048
    #expect(failures(shape, .sglang).contains("preflight-dispatch-tokens"))
    shape.sequences = 512
    #expect(!failures(shape, .sglang).contains("preflight-dispatch-tokens"))
    shape = try decode()
    (shape.sequences, shape.usableBytes) = (
      512, shape.memory.total - shape.memory.communication + (8 << 30)
    )
    let message = try #require(Preflight([shape], for: .sglang).problems.first?.message)
    let fix = try #require(message.split(separator: " ").compactMap { Int($0) }.last)
    shape.sequences = fix
    #expect(failures(shape, .sglang) == [])
    shape.sequences = fix + LowLatencyBuffer.tokenStep
    #expect(failures(shape, .sglang) == ["preflight-dispatch-buffer"])
  }
}
