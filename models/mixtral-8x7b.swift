// Mixtral 8x7B: 46.7B parameters, 12.9B activated.
//
// Facts: Mixtral of Experts (arXiv 2401.04088), table 1, and the config.json of
// mistralai/Mixtral-8x7B-v0.1. Weights: the feed-forward stands under `block_sparse_moe`, an
// expert's matrices are `w1` (gate), `w3` (up) and `w2` (down).

import EPModel

let model = Model("Mixtral-8x7B", vocabulary: 32_000, hidden: 4_096, epsilon: 1e-5) {
  Embedding()
  Layers(0..<32) {
    Block {
      MultiHeadAttention(
        heads: 32, keyValueHeads: 8, headSize: 128, rope: RotaryEmbedding(theta: 1_000_000))
    } feedForward: {
      mixture
        .named("block_sparse_moe")
        .renaming(["gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"])
    }
  }
  RMSNorm()
  LanguageModelHead()
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    Router(.softmax, topK: 2, normalized: true)
    RoutedExperts(8) { SwiGLU(14_336) }
  }
}
