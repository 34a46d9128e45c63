import Testing

@testable import EPModel

@Suite struct KimiTests {
  @Test func k2IsFiveFunctions() {
    var attention: MultiHeadLatentAttention {
      .init(
        heads: 64, queryRank: 1536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
        rope: .init(theta: 50000, layout: .interleaved))
    }
    let model = Model("Kimi-K2", vocabulary: 163_840, hidden: 7168) {
      Embedding()
      Layers(0..<1) {
        Block {
          attention
        } feedForward: {
          SwiGLU(18432)
        }
      }
      Layers(1..<61) {
        Block {
          attention
        } feedForward: {
          MixtureOfExperts {
            Router(.sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.827)
            SharedExperts(1) { SwiGLU(2048) }
            RoutedExperts(384) { SwiGLU(2048) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
      MultiTokenPrediction(depth: 2) {
        Block {
          attention
        } feedForward: {
          SwiGLU(18432)
        }
      }
    }
    let traced = model.traced()
    #expect(traced.diagnostics.isEmpty, "\(traced.diagnostics)")
    #expect(traced.program.functions.count == 5)
    #expect(traced.program.calls.map(\.layers) == [[], [0], Array(1..<61), []])
    #expect(traced.program.drafts.map(\.layers) == [[61], [62]])
    let count = traced.program.parameterCount
    #expect(count.total == 1_026_408_232_448)
    #expect(count.activated - count.table == 31_687_095_808)
    #expect(traced.program.locations.allSatisfy { $0.file.hasSuffix("KimiTests.swift") })
  }
}
