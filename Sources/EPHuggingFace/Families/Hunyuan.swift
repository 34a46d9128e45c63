import EPJSON
import EPModel

extension ConfigReader {
  /// Hunyuan-A13B: heads normalised after the rotation, a shared feed-forward, and a number of
  /// selected experts for each layer.
  func hunYuanMoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, unshared: true)
    try requireSiLU()
    try requireHunyuanDefaults(headSize: sizes.headSize)
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try hunYuanRope(size: sizes.headSize), norm: .perHeadAfterRope,
      bias: try flag("attention_bias", default: false) ? .all : .none)
    let size = try int("intermediate_size", in: Sizes.inner)
    let experts = try perLayer("num_experts", layers: decoder.layers)
    let topK = try perLayer("moe_topk", layers: decoder.layers)
    try requireEverywhere("num_shared_expert", 1, else: "is not 1; transformers ignores it")
    try requireEverywhere(
      "moe_intermediate_size", size, else: "is not 'intermediate_size'; transformers ignores it")
    return decoder.model { layer in
      Block {
        attention.renaming(["q_norm": "query_layernorm", "k_norm": "key_layernorm"])
      } feedForward: {
        MixtureOfExperts {
          Router(.softmax, topK: topK[layer], normalized: true)
          SharedExperts(named: "shared_mlp") { SwiGLU(size) }
          RoutedExperts(experts[layer]) { SwiGLU(size) }
        }
        .renaming(["mlp.gate": "mlp.gate.wg"])
      }
    }
  }

  /// Fields of the published configs that transformers ignores, with what they must say so that
  /// this is right.
  private func requireHunyuanDefaults(headSize: Int) throws(ImportError) {
    for key in ["use_qk_norm", "use_mixed_mlp_moe", "use_rotary_pos_emb"] {
      try require(key, true, else: "is ignored by transformers, which takes true")
    }
    for key in [
      "use_cla", "use_mla", "mlp_bias", "group_limited_greedy", "moe_drop_tokens",
      "moe_random_routing_dropped_token", "position_embedding_xdrope", "add_classification_head",
    ] {
      try require(key, false, else: "is ignored by transformers, which takes false")
    }
    try require("moe_layer_num_skipped", 0, else: "is ignored by transformers, which takes 0")
    try require("norm_type", "rms", else: "is not \"rms\"")
    try require("attention_head_dim", .int(headSize), else: "differs from 'head_dim'")
    // Of groups, shared layers and MLA, none of which is used.
    ignore(
      "cla_share_factor", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
      "v_head_dim", "n_group", "topk_group", "routed_scaling_factor", "norm_topk_prob")
  }

  /// The rotation; `dynamic` with an `alpha` is a fixed change of the base (NTK).
  private func hunYuanRope(size: Int) throws(ImportError) -> RotaryEmbedding {
    for key in ["rope_scaling", "rope_parameters"] {
      guard let scaling = try optionalObject(key),
        let alpha = try scaling.optionalReal("alpha", in: 1...1e9), size > 2
      else { continue }
      let older = try scaling.optionalText("type")
      guard try scaling.optionalText("rope_type") ?? older == "dynamic" else {
        throw scaling.refusal("alpha", "is known of \"dynamic\" scaling only")
      }
      scaling.ignore("factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim")
      let outer = try optionalReal("rope_theta", in: 1e-3...1e15)
      guard let theta = try scaling.optionalReal("rope_theta", in: 1e-3...1e15) ?? outer else {
        throw .document(node.fail("the key 'rope_theta' is required"))
      }
      return RotaryEmbedding(theta: theta * power(alpha, Double(size) / Double(size - 2)))
    }
    return try rope(size: size, layout: .half).rope
  }

  /// A number for each layer: one for all, or a list.
  private func perLayer(_ key: String, layers: Int) throws(ImportError) -> [Int] {
    guard case .array? = try optional(key)?.value else {
      return Array(repeating: try int(key, in: Sizes.experts), count: layers)
    }
    let numbers = try optionalInts(key, in: Sizes.experts) ?? []
    if numbers.count != layers {
      throw refusal(key, "has \(numbers.count) elements for \(layers) layers")
    }
    return numbers
  }

  private func requireEverywhere(
    _ key: String, _ number: Int, else reason: String
  ) throws(ImportError) {
    guard case .array(let elements)? = try optional(key)?.value else {
      return try require(key, .int(number), else: reason)
    }
    if elements.contains(where: { $0 != .int(number) }) { throw refusal(key, reason) }
  }
}
