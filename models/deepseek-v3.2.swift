// DeepSeek-V3.2: DeepSeek-V3 with sparse attention. A lightning indexer selects the 2,048 tokens
// that each row attends to.
//
// Facts: the config.json of deepseek-ai/DeepSeek-V3.2 and the DeepSeek-V3.2 report, section 2. The
// indexer's rotation is half-split where the attention's is interleaved. Published inference code
// rotates the indexer's queries and keys by a Hadamard matrix before it rounds them to fp8; dot
// products do not change by it, so it is not in here. Weights: the published names.

import EPModel

let model = Model("DeepSeek-V3.2", vocabulary: 129_280, hidden: 7_168, precision: .fp8) {
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
  let temperature = RotaryEmbedding.mscale(factor: 40)
  return MultiHeadLatentAttention(
    heads: 128, queryRank: 1_536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
    rope: rope(.interleaved), scale: temperature * temperature / Double(128 + 64).squareRoot(),
    indexer: .init(heads: 64, headSize: 128, topK: 2_048, rope: rope(.half)))
}

func rope(_ layout: RotaryEmbedding.Layout) -> RotaryEmbedding {
  RotaryEmbedding(
    theta: 10_000, rotated: 64, layout: layout,
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
