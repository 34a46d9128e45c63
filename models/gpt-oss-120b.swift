// gpt-oss-120b: 116.8B parameters, 5.1B activated. Layers alternate between a sliding window of 128
// tokens and the whole context; every head has a sink.
//
// Facts: the gpt-oss model card (arXiv 2508.10925), section 2, and the config.json of
// openai/gpt-oss-120b. Weights: experts come as two 3-D tensors with biases, rows of gate and up
// alternating; the published files hold them in MXFP4 (`_blocks` and `_scales`).

import EPModel

let model = Model(
  "gpt-oss-120b", vocabulary: 201_088, hidden: 2_880, epsilon: 1e-5, precision: .mxfp4Experts
) {
  Embedding()
  Layers(0..<36) { layer in
    Block {
      attention(window: layer % 2 == 0 ? 128 : nil)
    } feedForward: {
      mixture.renaming(["gate": "router"])
    }
  }
  RMSNorm()
  LanguageModelHead()
}

func attention(window: Int?) -> MultiHeadAttention {
  MultiHeadAttention(
    heads: 64, keyValueHeads: 8, headSize: 64,
    rope: RotaryEmbedding(
      theta: 150_000,
      scaling: .yarn(
        factor: 32, originalContext: 4_096, betaFast: 32, betaSlow: 1, truncate: false,
        attentionFactor: RotaryEmbedding.mscale(factor: 32))),
    bias: .all, window: window, sinks: true)
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    Router(.softmaxOverSelected, topK: 4, bias: true)
    RoutedExperts(128) {
      SwiGLU(
        2_880, limit: 7, slope: 1.702, upOffset: 1, bias: true,
        storage: .fused(
          gateUp: "gate_up_proj", down: "down_proj", transposed: true, interleaved: true))
    }
  }
}
