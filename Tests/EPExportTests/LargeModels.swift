import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPTestSupport

/// The models people deploy over many nodes.
enum LargeModels {
  /// DeepSeek-V3 with its MTP depth, as in models/deepseek-v3.swift.
  static let deepSeekV3: ModelProgram = Model(
    "DeepSeek-V3", vocabulary: 129_280, hidden: 7_168, precision: .fp8
  ) {
    Embedding()
    Layers(0..<3) {
      Block {
        attention(heads: 128)
      } feedForward: {
        SwiGLU(18_432)
      }
    }
    Layers(3..<61) {
      Block {
        attention(heads: 128)
      } feedForward: {
        mixture(experts: 256)
      }
    }
    RMSNorm()
    LanguageModelHead()
    MultiTokenPrediction {
      Block {
        attention(heads: 128)
      } feedForward: {
        mixture(experts: 256)
      }
    }
  }.traced().program

  /// Kimi K2, as in models/k2.swift.
  static let kimiK2: ModelProgram = Model(
    "Kimi-K2", vocabulary: 163_840, hidden: 7_168, precision: .fp8
  ) {
    Embedding()
    Layers(0..<1) {
      Block {
        attention(heads: 64)
      } feedForward: {
        SwiGLU(18_432)
      }
    }
    Layers(1..<61) {
      Block {
        attention(heads: 64)
      } feedForward: {
        mixture(experts: 384)
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program

  private static func attention(heads: Int) -> MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: heads, queryRank: 1_536, keyValueRank: 512, nopeSize: 128, ropeSize: 64,
      valueSize: 128, rope: RotaryEmbedding(theta: 10_000, layout: .interleaved))
  }

  private static func mixture(experts: Int) -> MixtureOfExperts {
    MixtureOfExperts {
      Router(.sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.5)
      SharedExperts(1) { SwiGLU(2_048) }
      RoutedExperts(experts) { SwiGLU(2_048) }
    }
  }

  /// Prefill on 32 ranks and decode on 144, as DeepSeek deploys it.
  static let v3Plan: Result<Plan, any Error> = Result {
    var request = try SamplePlans.request([
      (.prefill, Mesh(dp: 8, tp: 4, ep: 32)), (.decode, Mesh(dp: 144, ep: 144)),
    ])
    request.pools[1].batch = 128
    return try Compiler.compile(Compilation(deepSeekV3, request))
  }

  /// One pool of 16 ranks.
  static let k2Plan: Result<Plan, any Error> = Result {
    try SamplePlans.plan(kimiK2, [(.unified, Mesh(dp: 16, ep: 16))])
  }
}
