public import EPModel

/// Small models, one for each family of architectures.
public enum SampleModels {
  /// Each model and its name.
  public static let all: [(name: String, program: ModelProgram)] = [
    ("latent", latentAttention), ("grouped", groupedQueries), ("linear", linearHybrid),
    ("dense", dense), ("experts", unusualExperts),
  ]

  private static var latent: MultiHeadLatentAttention {
    MultiHeadLatentAttention(
      heads: 8, queryRank: 24, keyValueRank: 16, nopeSize: 16, ropeSize: 8, valueSize: 16,
      rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
  }

  /// MLA, one dense layer, group-limited experts with a shared one, an MTP depth.
  public static let latentAttention: ModelProgram = Model("Latent", vocabulary: 256, hidden: 64) {
    Embedding()
    Layers(0..<1) {
      Block {
        latent
      } feedForward: {
        SwiGLU(96)
      }
    }
    Layers(1..<4) {
      Block {
        latent
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
        latent
      } feedForward: {
        SwiGLU(16)
      }
    }
  }.traced().program

  /// GQA with biases, sinks and alternating windows, experts with biases.
  public static let groupedQueries: ModelProgram = Model("Grouped", vocabulary: 192, hidden: 64) {
    Embedding()
    Layers(0..<4) { layer in
      Block {
        MultiHeadAttention(
          heads: 8, keyValueHeads: 2, headSize: 16, rope: RotaryEmbedding(theta: 1e4),
          norm: .full, bias: .all, window: layer % 2 == 0 ? 8 : nil, sinks: true)
      } feedForward: {
        MixtureOfExperts {
          Router(.softmaxOverSelected, topK: 2, bias: true)
          RoutedExperts(8) {
            GatedFeedForward(32, activation: GatedActivation("silu", limit: 7), bias: true)
          }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program

  /// Linear attention of three kinds, with full attention in between.
  public static let linearHybrid: ModelProgram = Model("Linear", vocabulary: 128, hidden: 64) {
    Embedding()
    Layers(0..<2) {
      Block {
        GatedDeltaNet(keyHeads: 4, valueHeads: 8, keySize: 8, valueSize: 8)
      } feedForward: {
        experts
      }
    }
    Layers(2..<3) {
      Block {
        MultiHeadAttention(
          heads: 8, keyValueHeads: 4, headSize: 16, rope: RotaryEmbedding(theta: 1e4),
          norm: .perHead(), gate: .inQuery)
      } feedForward: {
        experts
      }
    }
    Layers(3..<5) {
      Block {
        LightningAttention(heads: 8, headSize: 8)
      } feedForward: {
        experts
      }
    }
    Layers(5..<6) {
      Block {
        KimiDeltaAttention(heads: 8, headSize: 8)
      } feedForward: {
        experts
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program

  private static var experts: MixtureOfExperts {
    MixtureOfExperts {
      Router(.softmax, topK: 2, normalized: true)
      SharedExperts(1, gated: true) { SwiGLU(16) }
      RoutedExperts(8) { SwiGLU(16) }
    }
  }

  /// No experts at all.
  public static let dense: ModelProgram = Model("Dense", vocabulary: 96, hidden: 32) {
    Embedding()
    Layers(0..<3) {
      Block {
        MultiHeadAttention(heads: 4, headSize: 8, rope: RotaryEmbedding(theta: 1e4))
      } feedForward: {
        SwiGLU(48)
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program

  /// Experts of a hidden size of their own, and identity experts.
  public static let unusualExperts: ModelProgram = Model("Experts", vocabulary: 96, hidden: 32) {
    Embedding()
    Layers(0..<2) {
      Block {
        MultiHeadAttention(
          heads: 4, keyValueHeads: 1, headSize: 8, rope: RotaryEmbedding(theta: 1e4))
      } feedForward: {
        MixtureOfExperts {
          Router(.softmax, topK: 3, scale: 1.5)
          RoutedExperts(8, identity: 4) { SwiGLU(16) }
        }
      }
    }
    Layers(2..<4) {
      Block {
        MultiHeadAttention(heads: 4, headSize: 8, rope: nil)
      } feedForward: {
        MixtureOfExperts {
          Router(.sigmoid, topK: 2, normalized: true)
          RoutedExperts(8, latent: 16, latentNorm: true) { SwiGLU(16) }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program
}
