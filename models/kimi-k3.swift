// Kimi K3 without its attention residuals: for planning (shapes, bytes, routing), not for running.
//
// Facts: the config.json of moonshotai/Kimi-K3; that its experts are kept in MXFP4 is second-hand. It
// names three things without defining them:
// - `situ`: the public implementations of the model agree on
//   beta * tanh(gate / beta) * sigmoid(gate) * linear * tanh(up / linear), which `SiTU` is.
// - The place of the latent mixture's norm: between the experts and the projection back, as there.
// - `attn_res_block_size` 12: before each half of a layer a softmax mixes the hidden state with
//   those at the ends of earlier blocks of 12 layers. Layers here pass one tensor on, so this cannot
//   be said; plain residual connections stand in its place and the weights of the mixing are not
//   read. What this file computes is therefore not what K3 computes.
// The epsilon of norms is not in the config copy this was written from; 1e-5 is Kimi Linear's.
// Weights: as public loaders name them, below `language_model.`. The vision tower is not described.

import EPModel

let model = Model(
  "Kimi-K3", vocabulary: 163_840, hidden: 7_168, epsilon: 1e-5,
  precision: Precision(linear: .bf16, experts: .mxfp4), prefix: "language_model.model",
  head: "language_model.lm_head",
  ignoring: ["*_res_proj.*", "*_res_norm.*", "vision_tower.*", "mm_projector.*"]
) {
  Embedding()
  Layers(0..<1) {
    Block {
      deltaAttention
    } feedForward: {
      SiTU(size: 33_792)
    }
  }
  Layers(1..<93) { layer in
    Block {
      // Every fourth layer attends to all tokens, and so does the last.
      if layer % 4 == 3 || layer == 92 { softmaxAttention } else { deltaAttention }
    } feedForward: {
      mixture.named("block_sparse_moe")
    }
  }
  RMSNorm()
  LanguageModelHead()
}

/// The gated feed-forward of K3, whose gate and linear half are both bounded.
struct SiTU: Module {
  var size: Int

  func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let inner = x.trace.intermediate(size)
    let gate = x.linear("gate_proj", to: [inner])
    let up = x.linear("up_proj", to: [inner])
    return (bounded(gate, 4) * gate.sigmoid() * bounded(up, 25)).linear("down_proj", to: [width])
  }

  private func bounded(_ x: Tensor, _ bound: Double) -> Tensor {
    (x * (1 / bound)).applying("tanh") * bound
  }
}

var deltaAttention: KimiDeltaAttention {
  KimiDeltaAttention(heads: 96, headSize: 128, fullRankGate: true, decayLowerBound: -5)
}

var softmaxAttention: MultiHeadLatentAttention {
  MultiHeadLatentAttention(
    heads: 96, queryRank: 1_536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
    rope: nil, outputGate: true)
}

var mixture: some Module {
  MixtureOfExperts {
    Router(.sigmoid, topK: 16, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20)
    SharedExperts(1) { SiTU(size: 2 * 3_072) }
    RoutedExperts(896, latent: 3_584, latentNorm: true) {
      SiTU(size: 3_072).renaming(["gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"])
    }
  }
  .renaming([
    "latent_in": "routed_expert_down_proj", "latent_norm": "routed_expert_norm",
    "latent_out": "routed_expert_up_proj",
  ])
}
