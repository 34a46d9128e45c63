// A model whose checkpoint names its weights unlike Hugging Face models do.
//
// Names come about by nesting: `decoder` + `layers.0` + `self_attn` + `q_proj` + `.weight`. Here
// `.named` sets what a module stands under, `.renaming` replaces parts of the names inside it, and
// `storage:` says which matrices share a tensor.

import EPModel

let model = Model(
  "checkpoint-names", vocabulary: 512, hidden: 64, precision: .fp32, prefix: "decoder",
  ignoring: ["decoder.layers.*.attn.rotary.inv_freq", "vision.*"]
) {
  Embedding().named("wte")
  Layers(0..<4) { layer in
    Block {
      // decoder.layers.0.attn.query.weight
      MultiHeadAttention(heads: 4, headSize: 16, rope: RotaryEmbedding(theta: 10_000))
        .renaming([
          "q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "out",
        ])
        .named("attn")
    } feedForward: {
      if layer == 0 {
        // Gate and up are the two halves of decoder.layers.0.ffn.w_in.weight.
        SwiGLU(128, storage: .fused(gateUp: "w_in.weight", down: "w_out.weight")).named("ffn")
      } else {
        mixture
      }
    }
    .renaming(["input_layernorm": "norm_1", "post_attention_layernorm": "norm_2"])
  }
  RMSNorm().named("ln_f")
  // lm_head.weight stands outside the prefix; here it is called output.weight.
  LanguageModelHead().renaming(["lm_head": "output"])
}

var mixture: some Module {
  MixtureOfExperts {
    Router(.softmax, topK: 2, normalized: true)
    // decoder.layers.1.moe.always.gate_proj.weight
    SharedExperts(1, named: "always") { SwiGLU(32) }
    // All experts in two tensors [experts, in, out], rows of gate and up alternating:
    // decoder.layers.1.moe.w13 and decoder.layers.1.moe.w2.
    RoutedExperts(8, named: "") {
      SwiGLU(
        32, storage: .fused(gateUp: "w13", down: "w2", transposed: true, interleaved: true))
    }
  }
  .named("moe")
  .renaming(["gate": "router"])
}
