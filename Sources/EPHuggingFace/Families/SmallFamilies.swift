import EPJSON
import EPModel

extension ConfigReader {
  /// OLMoE: all heads normalised together, projections that may be clipped.
  func olmoe(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, unshared: true)
    try requireSiLU()
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half).rope, norm: .full,
      bias: try flag("attention_bias", default: false) ? .all : .none,
      clip: try optionalReal("clip_qkv", in: 1e-6...1e9))
    let router = Router(
      .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts),
      normalized: try flag("norm_topk_prob", default: false))
    let size = try int("intermediate_size", in: Sizes.inner)
    let count = try int("num_experts", or: "num_local_experts", in: Sizes.experts)
    return decoder.model { _ in
      Block {
        attention
      } feedForward: {
        MixtureOfExperts {
          router
          RoutedExperts(count) { SwiGLU(size) }
        }
      }
    }
  }

  /// Granite 3 MoE: multipliers on embedding, attention, residuals and logits.
  func graniteMoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden, unshared: true)
    try requireSiLU()
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half).rope,
      bias: try flag("attention_bias", default: false) ? .all : .none,
      scale: try real("attention_multiplier", default: 1))
    let size = try int("intermediate_size", in: Sizes.inner)
    let topK = try int("num_experts_per_tok", in: Sizes.experts)
    let count = try int("num_local_experts", or: "num_experts", in: Sizes.experts)
    let mixture = MixtureOfExperts {
      Router(.softmaxOverSelected, topK: topK)
      RoutedExperts(count, named: "") {
        SwiGLU(
          size, storage: .fused(gateUp: "input_linear.weight", down: "output_linear.weight"))
      }
    }
    .renaming(["block_sparse_moe.gate": "block_sparse_moe.router.layer"])
    .named("block_sparse_moe")
    let residual = try real("residual_multiplier", default: 1)
    let embedding = Embedding(scale: try real("embedding_multiplier", default: 1))
    let logits = try real("logits_scaling", in: 1e-6...1e6, default: 1)
    return decoder.model(embedding: embedding, logitScale: 1 / logits) { _ in
      Block(residual: .preNorm(scale: residual)) {
        attention
      } feedForward: {
        mixture
      }
    }
  }

  /// ERNIE 4.5: pairs turn, a bias corrects the selection by softmax scores.
  func ernie45MoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5, tied: true)
    let sizes = try grouped(hidden: decoder.hidden)
    try requireSiLU()
    try require("use_bias", false, else: "cannot be expressed yet")
    try require("moe_use_aux_free", true, else: "is ignored by transformers, which has a bias")
    try require("moe_gate", "topk", else: "is ignored by transformers")
    ignore("moe_capacity")
    try leaveOutDrafts("num_nextn_predict_layers")
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .interleaved, theta: 500_000).rope)
    let router = Router(
      .softmax, topK: try int("moe_k", or: "num_experts_per_tok", in: Sizes.experts),
      correctionBias: true, normalized: true,
      normalizeMinimum: try real("moe_norm_min", in: 0...1, default: 1e-12))
    let size = try int("moe_intermediate_size", in: Sizes.inner)
    let count = try int("moe_num_experts", or: "num_experts", in: Sizes.experts)
    let sharedCount = try int("moe_num_shared_experts", in: 0...256, default: 2)
    let mixture = MixtureOfExperts {
      router
      if sharedCount > 0 { SharedExperts(sharedCount) { SwiGLU(size) } }
      RoutedExperts(count) { SwiGLU(size) }
    }
    .renaming(["gate.e_score_correction_bias": "moe_statics.e_score_correction_bias"])
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let bounds = -1...Sizes.layers.upperBound
    let first = try int("moe_layer_start_index", in: bounds, default: 1)
    let end = try int("moe_layer_end_index", in: bounds, default: -1)
    let last = end == -1 ? decoder.layers - 1 : end
    let interval = try int("moe_layer_interval", in: 1...1 << 20, default: 1)
    return decoder.model(ignoring: ["\(names.prefix).mtp_*"]) { layer in
      Block {
        attention
      } feedForward: {
        if (layer + 1) % interval == 0 && layer >= first && layer <= last {
          mixture
        } else {
          dense
        }
      }
    }
  }

  /// DBRX: fused names of its own, layer norms without bias, clipped projections.
  func dbrx() throws(ImportError) -> Model {
    let names = WeightNames(prefix: "transformer")
    let decoder = try decoder(
      names, epsilon: 1e-5, layersKey: "n_layers", epsilonKey: "layer_norm_eps",
      hiddenKey: "d_model")
    if decoder.tied { throw refusal("tie_word_embeddings", "is not known of this family") }
    guard let attention = try optionalObject("attn_config"),
      let experts = try optionalObject("ffn_config")
    else {
      _ = try reading { () throws(JSONError) in try (node["attn_config"], node["ffn_config"]) }
      throw refusal("attn_config", "is missing")
    }
    attention.ignore("hidden_size")
    experts.ignore("hidden_size", "moe_jitter_eps")
    try experts.require("moe_normalize_expert_weights", 1, else: "is not 1, a sum of weights")
    if let activation = try experts.optionalObject("ffn_act_fn") {
      try activation.requireSiLU("name")
    }
    let heads = try int("n_heads", in: Sizes.heads)
    if decoder.hidden % heads != 0 { throw refusal("n_heads", "does not divide 'd_model'") }
    let size = decoder.hidden / heads
    let rope = RotaryEmbedding(theta: try attention.real("rope_theta", in: 1e-3...1e15))
    let inner = try experts.int("ffn_hidden_size", in: Sizes.inner)
    let count = try experts.int("moe_num_experts", in: Sizes.experts)
    let topK = try experts.int("moe_top_k", in: Sizes.experts)
    let clip = try attention.optionalReal("clip_qkv", in: 1e-6...1e9)
    let keyHeads = try attention.int("kv_n_heads", in: Sizes.heads)
    let norm = LayerNorm(bias: false)
    let block = Block(norm: norm) {
      MultiHeadAttention(
        heads: heads, keyValueHeads: keyHeads, headSize: size, rope: rope, clip: clip,
        storage: .fused("Wqkv"))
    } feedForward: {
      MixtureOfExperts {
        Router(.softmax, topK: topK, normalized: true)
        RoutedExperts(count) {
          SwiGLU(inner, storage: .stacked(gate: "w1", up: "v1", down: "w2"))
        }
      }
    }
    return decoder.model(
      embedding: Embedding().named("wte"), norm: norm.named("norm_f")
    ) { _ in
      block.renaming([
        "layers": "blocks", "input_layernorm": "norm_attn_norm.norm_1",
        "post_attention_layernorm": "norm_attn_norm.norm_2", "self_attn": "norm_attn_norm.attn",
        "o_proj": "out_proj", "mlp.gate": "ffn.router.layer", "mlp.experts": "ffn.experts.mlp",
      ])
    }
  }
}
