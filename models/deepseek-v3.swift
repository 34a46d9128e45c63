// DeepSeek-V3 and R1: 671B parameters, 37B activated, and one MTP depth.
//
// Facts: DeepSeek-V3 technical report (arXiv 2412.19437), sections 2 and 4.2, and the config.json of
// deepseek-ai/DeepSeek-V3. Weights: the published names; fp8 matrices come with `_scale_inv` tensors.

import EPModel

let model = Model("DeepSeek-V3", vocabulary: 129_280, hidden: 7_168, precision: .fp8) {
  Embedding()
  Layers(0..<3) {
    Block {
      attention
    } feedForward: {
      SwiGLU(18_432)
    }
  }
  Layers(3..<61) {
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
  // YaRN's temperature is applied to the logits, once for the query and once for the key.
  let temperature = RotaryEmbedding.mscale(factor: 40)
  return MultiHeadLatentAttention(
    heads: 128, queryRank: 1_536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
    rope: rope, scale: temperature * temperature / Double(128 + 64).squareRoot())
}

var rope: RotaryEmbedding {
  RotaryEmbedding(
    theta: 10_000, layout: .interleaved,
    scaling: .yarn(
      factor: 40, originalContext: 4_096, betaFast: 32, betaSlow: 1, truncate: true,
      attentionFactor: 1))
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    Router(
      .sigmoid, topK: 8, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20,
      scale: 2.5, limit: GroupLimit(8, kept: 4, score: .topTwoSum))
    SharedExperts(1) { SwiGLU(2_048) }
    RoutedExperts(256) { SwiGLU(2_048) }
  }
}
