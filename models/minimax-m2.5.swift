// MiniMax-M2.5: 230B parameters, 10B activated, the shape of M2.
//
// Facts: the config.json of MiniMaxAI/MiniMax-M2.5 and the model card of MiniMaxAI/MiniMax-M2.
// Queries and keys are normalised over all heads together. Weights: the feed-forward stands under
// `block_sparse_moe`, its correction bias beside the gate, an expert's matrices are `w1` (gate),
// `w3` (up) and `w2` (down). The config names three MTP modules; their structure is not published
// with it, so tensors of the layers after the last are not read.

import EPModel

let model = Model(
  "MiniMax-M2.5", vocabulary: 200_064, hidden: 3_072, precision: .fp8,
  ignoring: ["model.layers.62.*", "model.layers.63.*", "model.layers.64.*"]
) {
  Embedding()
  Layers(0..<62) {
    Block {
      MultiHeadAttention(
        heads: 48, keyValueHeads: 8, headSize: 128,
        rope: RotaryEmbedding(theta: 5_000_000, rotated: 64), norm: .full)
    } feedForward: {
      mixture
        .named("block_sparse_moe")
        .renaming([
          "gate.e_score_correction_bias": "e_score_correction_bias", "gate_proj": "w1",
          "up_proj": "w3", "down_proj": "w2",
        ])
    }
  }
  RMSNorm()
  LanguageModelHead()
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    Router(.sigmoid, topK: 8, correctionBias: true, normalized: true)
    RoutedExperts(256) { SwiGLU(1_536) }
  }
}
