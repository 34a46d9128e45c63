// Qwen3-Next-80B-A3B: 80B parameters, 3B activated. Three layers of gated delta-rule attention, then
// one of gated softmax attention, and so on.
//
// Facts: the config.json and model card of Qwen/Qwen3-Next-80B-A3B-Instruct. Norms store their
// weight less one. Weights: the published names. The checkpoint's MTP module stands under `mtp.`
// with a layout of its own and is not read.

import EPModel

let model = Model(
  "Qwen3-Next-80B-A3B", vocabulary: 151_936, hidden: 2_048, ignoring: ["mtp.*"]
) {
  Embedding()
  Layers(0..<48) { layer in
    Block(norm: RMSNorm(unitOffset: true)) {
      if layer % 4 == 3 { softmaxAttention } else { deltaAttention }
    } feedForward: {
      MixtureOfExperts {
        Router(.softmax, topK: 10, normalized: true)
        SharedExperts(1, gated: true, named: "shared_expert") { SwiGLU(512) }
        RoutedExperts(512) { SwiGLU(512) }
      }
    }
  }
  RMSNorm(unitOffset: true)
  LanguageModelHead()
}

var softmaxAttention: any Module {
  MultiHeadAttention(
    heads: 16, keyValueHeads: 2, headSize: 256,
    rope: RotaryEmbedding(theta: 10_000_000, rotated: 64), norm: .perHead(unitOffset: true),
    gate: .inQuery)
}

var deltaAttention: any Module {
  GatedDeltaNet(keyHeads: 16, valueHeads: 32, keySize: 128, valueSize: 128, taps: 4)
    .named("linear_attn")
}
