// Qwen3-30B-A3B: 30.5B parameters, 3.3B activated.
//
// Facts: Qwen3 technical report (arXiv 2505.09388), table 2, and the config.json of
// Qwen/Qwen3-30B-A3B. Weights: the published names.

import EPModel

let model = Model("Qwen3-30B-A3B", vocabulary: 151_936, hidden: 2_048) {
  Embedding()
  Layers(0..<48) {
    Block {
      MultiHeadAttention(
        heads: 32, keyValueHeads: 4, headSize: 128, rope: RotaryEmbedding(theta: 1_000_000),
        norm: .perHead())
    } feedForward: {
      MixtureOfExperts {
        Router(.softmax, topK: 8, normalized: true)
        RoutedExperts(128) { SwiGLU(768) }
      }
    }
  }
  RMSNorm()
  LanguageModelHead()
}
