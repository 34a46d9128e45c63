// A DeepSeek-V3 in miniature that runs in seconds on a CPU: latent attention, a dense layer, groups
// of experts, a shared expert, an MTP depth. Its sizes are made up; weights are named as V3's.

import EPModel

let model = Model("tiny-deepseek", vocabulary: 512, hidden: 64, precision: .fp32) {
  Embedding()
  Layers(0..<1) {
    Block {
      attention
    } feedForward: {
      SwiGLU(128)
    }
  }
  Layers(1..<4) {
    Block {
      attention
    } feedForward: {
      mixture
    }
  }
  RMSNorm()
  LanguageModelHead()
  MultiTokenPrediction(depth: 1) {
    Block {
      attention
    } feedForward: {
      mixture
    }
  }
}

var attention: MultiHeadLatentAttention {
  MultiHeadLatentAttention(
    heads: 4, queryRank: 24, keyValueRank: 16, nopeSize: 16, ropeSize: 8, valueSize: 16,
    rope: RotaryEmbedding(theta: 10_000, layout: .interleaved))
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    Router(
      .sigmoid, topK: 4, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20,
      scale: 2.5, limit: GroupLimit(4, kept: 2, score: .topTwoSum))
    SharedExperts(1) { SwiGLU(32) }
    RoutedExperts(16) { SwiGLU(32) }
  }
}
