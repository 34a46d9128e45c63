// Kimi K2: 1.03T parameters, 32B activated. The shape of DeepSeek-V3 with half the heads, half again
// as many experts, one dense layer, no groups and no MTP.
//
// Facts: Kimi K2 (arXiv 2507.20534), table 2, and the config.json of moonshotai/Kimi-K2-Instruct.
// The report says 1.04T parameters and 32.6B activated; the published config and tensors amount to
// 1,026,408,232,448 and, without the token table, 31.7B. Weights: the published names. K2 Thinking
// and K2.5 are this model with INT4 experts (`precision: .int4Experts`); K2.5's names begin with
// `language_model.`.

import EPModel

let model = Model("Kimi-K2", vocabulary: 163_840, hidden: 7_168, precision: .fp8) {
  Embedding()
  Layers(0..<1) {
    Block {
      attention
    } feedForward: {
      SwiGLU(18_432)
    }
  }
  Layers(1..<61) {
    Block {
      attention
    } feedForward: {
      MixtureOfExperts {
        Router(
          .sigmoid, topK: 8, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20,
          scale: 2.827)
        SharedExperts(1) { SwiGLU(2_048) }
        RoutedExperts(384) { SwiGLU(2_048) }
      }
    }
  }
  RMSNorm()
  LanguageModelHead()
}

var attention: MultiHeadLatentAttention {
  let temperature = RotaryEmbedding.mscale(factor: 32)
  return MultiHeadLatentAttention(
    heads: 64, queryRank: 1_536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
    rope: RotaryEmbedding(
      theta: 50_000, layout: .interleaved,
      scaling: .yarn(
        factor: 32, originalContext: 4_096, betaFast: 1, betaSlow: 1, truncate: true,
        attentionFactor: 1)),
    scale: temperature * temperature / Double(128 + 64).squareRoot())
}
