// A Kimi K2 in miniature that runs in seconds on a CPU: many small experts, no groups, one dense
// layer, half the heads. Its sizes are made up; weights are named as K2's.

import EPModel

let model = Model("tiny-k2", vocabulary: 512, hidden: 64, precision: .fp32) {
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
      MixtureOfExperts {
        Router(
          .sigmoid, topK: 6, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20,
          scale: 2.827)
        SharedExperts(1) { SwiGLU(16) }
        RoutedExperts(48) { SwiGLU(16) }
      }
    }
  }
  RMSNorm()
  LanguageModelHead()
}

var attention: MultiHeadLatentAttention {
  MultiHeadLatentAttention(
    heads: 2, queryRank: 24, keyValueRank: 16, nopeSize: 16, ropeSize: 8, valueSize: 16,
    rope: RotaryEmbedding(theta: 50_000, layout: .interleaved))
}
