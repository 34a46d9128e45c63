// Qwen3-235B-A22B: 235B parameters, 22B activated.
//
// Facts: Qwen3 technical report (arXiv 2505.09388), table 2, and the config.json of
// Qwen/Qwen3-235B-A22B. Weights: the published names.

import EPModel

let model = Model("Qwen3-235B-A22B", vocabulary: 151_936, hidden: 4_096) {
  Embedding()
  Layers(0..<94) {
    Block {
      MultiHeadAttention(
        heads: 64, keyValueHeads: 4, headSize: 128, rope: RotaryEmbedding(theta: 1_000_000),
        norm: .perHead())
    } feedForward: {
      MixtureOfExperts {
        Router(.softmax, topK: 8, normalized: true)
        RoutedExperts(128) { SwiGLU(1_536) }
      }
    }
  }
  RMSNorm()
  LanguageModelHead()
}
