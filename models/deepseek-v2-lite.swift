// DeepSeek-V2-Lite: 15.7B parameters, 2.4B activated. Queries are not compressed, the router is a
// plain softmax whose weights are not normalised.
//
// Facts: DeepSeek-V2 (arXiv 2405.04434), appendix B, and inference/configs/config_16B.json of
// deepseek-ai/DeepSeek-V3. Weights: the published names.

import EPModel

let model = Model("DeepSeek-V2-Lite", vocabulary: 102_400, hidden: 2_048) {
  Embedding()
  Layers(0..<1) {
    Block {
      attention
    } feedForward: {
      SwiGLU(10_944)
    }
  }
  Layers(1..<27) {
    Block {
      attention
    } feedForward: {
      MixtureOfExperts {
        Router(.softmax, topK: 6)
        SharedExperts(2) { SwiGLU(1_408) }
        RoutedExperts(64) { SwiGLU(1_408) }
      }
    }
  }
  RMSNorm()
  LanguageModelHead()
}

var attention: MultiHeadLatentAttention {
  let temperature = RotaryEmbedding.mscale(factor: 40, 0.707)
  return MultiHeadLatentAttention(
    heads: 16, queryRank: nil, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
    rope: RotaryEmbedding(
      theta: 10_000, layout: .interleaved,
      scaling: .yarn(
        factor: 40, originalContext: 4_096, betaFast: 32, betaSlow: 1, truncate: true,
        attentionFactor: 1)),
    scale: temperature * temperature / Double(128 + 64).squareRoot())
}
