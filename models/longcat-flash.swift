// LongCat-Flash: 560B parameters, 18.6B to 31.3B activated, 27B on average. A layer holds two
// attentions, two dense feed-forwards and one mixture that runs beside the second half of the layer
// (shortcut-connected MoE). A third of the experts the router knows return their input.
//
// Facts: LongCat-Flash technical report (arXiv 2509.01322) for sizes and counts; layer order,
// names and what its abridged config leaves out (ranks and head sizes, 12,288 for the dense
// feed-forwards, rope, epsilon, factor 6) from `longcat_flash` in Hugging Face transformers 5.23,
// whose defaults are those of meituan-longcat/LongCat-Flash-Chat. The parameter count confirms them.
// Weights: the published names; the MTP module under `model.mtp.` is not read.

import EPModel

let model = Model(
  "LongCat-Flash", vocabulary: 131_072, hidden: 6_144, epsilon: 1e-5, ignoring: ["model.mtp.*"]
) {
  Embedding()
  Layers(0..<28) {
    ShortcutBlock {
      attention
    } feedForward: {
      SwiGLU(12_288)
    } mixture: {
      mixture
    }
  }
  RMSNorm()
  LanguageModelHead()
}

var attention: MultiHeadLatentAttention {
  MultiHeadLatentAttention(
    heads: 64, queryRank: 1_536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
    rope: RotaryEmbedding(theta: 10_000_000, layout: .interleaved),
    queryScale: (6_144.0 / 1_536).squareRoot(), latentScale: (6_144.0 / 512).squareRoot())
}

var mixture: some Module {
  MixtureOfExperts {
    Router(.softmax, topK: 12, correctionBias: true, scale: 6)
    RoutedExperts(512, identity: 256) { SwiGLU(2_048) }
  }
  .renaming([
    "gate.weight": "router.classifier.weight",
    "gate.e_score_correction_bias": "router.e_score_correction_bias",
  ])
}
