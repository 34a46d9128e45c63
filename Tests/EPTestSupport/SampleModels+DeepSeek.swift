public import EPModel

extension SampleModels {
  /// A DeepSeek-V3-shaped model small enough to read.
  public static func tinyDeepSeek(named name: String = "Tiny") -> ModelProgram {
    var attention: MultiHeadLatentAttention {
      MultiHeadLatentAttention(
        heads: 8, queryRank: 24, keyValueRank: 16, nopeSize: 16, ropeSize: 8, valueSize: 16,
        rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
    }
    let model = Model(name, vocabulary: 256, hidden: 64) {
      Embedding()
      Layers(0..<1) {
        Block {
          attention
        } feedForward: {
          SwiGLU(96)
        }
      }
      Layers(1..<4) {
        Block {
          attention
        } feedForward: {
          MixtureOfExperts {
            Router(
              .sigmoid, topK: 4, correctionBias: true, normalized: true, scale: 2.5,
              limit: GroupLimit(4, kept: 2, score: .topTwoSum))
            SharedExperts(1) { SwiGLU(16) }
            RoutedExperts(16) { SwiGLU(16) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
      MultiTokenPrediction {
        Block {
          attention
        } feedForward: {
          SwiGLU(16)
        }
      }
    }
    return model.traced().program
  }
}
