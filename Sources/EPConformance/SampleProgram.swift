internal import EPModel

/// Two small models: one of DeepSeek's kind, one of Mixtral's.
enum SampleProgram {
  static let all: [(name: String, program: @Sendable () -> ModelProgram)] = [
    ("latent attention", { latent.traced().program }),
    ("grouped queries", { grouped.traced().program }),
  ]

  private static var latent: Model {
    Model("latent", vocabulary: 96, hidden: 32, precision: .fp32) {
      Embedding()
      Layers(0..<1) {
        Block {
          latentAttention
        } feedForward: {
          SwiGLU(48)
        }
      }
      Layers(1..<3) {
        Block {
          latentAttention
        } feedForward: {
          MixtureOfExperts {
            Router(
              .sigmoid, topK: 3, correctionBias: true, normalized: true, scale: 2.5,
              limit: GroupLimit(4, kept: 2, score: .topTwoSum))
            SharedExperts(1) { SwiGLU(8) }
            RoutedExperts(8) { SwiGLU(8) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
    }
  }

  private static var latentAttention: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 4, queryRank: 12, keyValueRank: 16, nopeSize: 8, ropeSize: 4, valueSize: 8,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }

  private static var grouped: Model {
    Model("grouped", vocabulary: 96, hidden: 32, precision: .fp32) {
      Embedding()
      Layers(0..<2) {
        Block {
          MultiHeadAttention(
            heads: 4, keyValueHeads: 2, headSize: 8, rope: RotaryEmbedding(theta: 1e4))
        } feedForward: {
          MixtureOfExperts {
            Router(.softmax, topK: 2, normalized: true)
            RoutedExperts(8) { SwiGLU(16) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
    }
  }
}
