// GLM-4.5-Air: 106B parameters, 12B activated, and one MTP depth.
//
// Facts: GLM-4.5 (arXiv 2508.06471), table 1, and the config.json of zai-org/GLM-4.5-Air.
// Weights: the published names.

import EPModel

let model = Model("GLM-4.5-Air", vocabulary: 151_552, hidden: 4_096, epsilon: 1e-5) {
  Embedding()
  Layers(0..<1) {
    Block {
      attention
    } feedForward: {
      SwiGLU(10_944)
    }
  }
  Layers(1..<46) {
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

var attention: MultiHeadAttention {
  MultiHeadAttention(
    heads: 96, keyValueHeads: 8, headSize: 128,
    rope: RotaryEmbedding(theta: 1_000_000, rotated: 64), bias: .queryKeyValue)
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    Router(
      .sigmoid, topK: 8, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20)
    SharedExperts(1) { SwiGLU(1_408) }
    RoutedExperts(128) { SwiGLU(1_408) }
  }
}
