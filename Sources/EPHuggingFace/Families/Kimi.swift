import EPJSON
import EPModel

extension ConfigReader {
  /// Kimi K2.5: a wrapper of K2 with a vision tower, which is left out.
  func kimiK25() throws(ImportError) -> Model {
    let names = WeightNames(
      prefix: "language_model.model", head: "language_model.lm_head",
      ignored: ["vision_tower.*", "mm_projector.*"])
    ignore(
      "ignore_index", "use_unified_vision_chunk", "video_placeholder", "image_placeholder",
      "vision_config")
    return try text("kimi_k2", "deepseek_v3").deepseekV3(names)
  }

  /// The config of the model inside a wrapper, which must be of one of the families, with a note
  /// on what is left out.
  func text(_ families: String...) throws(ImportError) -> ConfigReader {
    guard let text = try optionalObject("text_config") else {
      _ = try reading { () throws(JSONError) in try node["text_config"] }
      throw refusal("text_config", "is missing")
    }
    if let type = try text.optionalText("model_type"), !families.contains(type) {
      throw text.refusal("model_type", "is not a model that this family wraps")
    }
    text.outer = self
    note("only the language model is imported; text alone can be run")
    return text
  }

  /// Kimi Linear: delta attention in most layers, MLA without positions in the others.
  func kimiLinear(_ names: WeightNames) throws(ImportError) -> Model {
    var decoder = try decoder(names, epsilon: 1e-5)
    // 'tie_word_embeddings' is ignored by transformers: the head is a tensor of its own.
    decoder.tied = false
    let latent = try latent()
    try requireMoEEverywhere()
    try require("mla_use_nope", true, else: "is not honoured by transformers, which never rotates")
    try require("moe_router_activation_func", "sigmoid", else: "is not \"sigmoid\"")
    try require("num_nextn_predict_layers", 0, else: "cannot be expressed yet")
    try require("use_grouped_topk", true, false, else: "is no flag")
    // No layer rotates.
    ignore("rope_theta", "rope_scaling", "rope_parameters")
    let normalized = try flag("moe_renormalize", default: true)
    let groups = try int("num_expert_group", in: Sizes.experts, default: 1)
    let kept = try int("topk_group", in: Sizes.experts, default: 1)
    let router = Router(
      .sigmoid, topK: try int("num_experts_per_token", in: Sizes.experts), correctionBias: true,
      normalized: normalized, normalizeEpsilon: normalized ? 1e-20 : 0,
      scale: try real("routed_scaling_factor", default: 1),
      limit: groups > 1 && kept < groups
        ? GroupLimit(groups, kept: kept, score: .topTwoSum) : nil)
    let mixture = try sharedAndRouted(router, experts: "num_experts", shared: "num_shared_experts")
      .renaming([
        "{expert}.gate_proj": "{expert}.w1", "{expert}.up_proj": "{expert}.w3",
        "{expert}.down_proj": "{expert}.w2",
      ])
      .named("block_sparse_moe")
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let sparse = try sparseLayers(decoder.layers, firstDense: 1)
    let (delta, isDelta) = try deltaAttention(layers: decoder.layers)
    let attention = latent.attention(rope: nil, scale: latent.plainScale)
    return decoder.model { layer in
      Block {
        if isDelta[layer] { delta } else { attention }
      } feedForward: {
        if sparse[layer] { mixture } else { dense }
      }
    }
  }

  /// The delta attention, and which layers have it.
  private func deltaAttention(
    layers: Int
  ) throws(ImportError) -> (KimiDeltaAttention, [Bool]) {
    let older = try optionalObject("linear_attn_config")
    func size(_ key: String, _ olderKey: String, _ range: ClosedRange<Int>) throws(ImportError)
      -> Int
    {
      guard let older else { return try int(key, in: range) }
      // transformers saves what it read there beside the older object.
      let value = try older.int(olderKey, in: range)
      try require(key, .int(value), else: "differs from 'linear_attn_config'")
      return value
    }
    let attention = KimiDeltaAttention(
      heads: try size("linear_num_heads", "num_heads", Sizes.heads),
      headSize: try size("linear_head_dim", "head_dim", Sizes.head),
      taps: try size("linear_conv_kernel_dim", "short_conv_kernel_size", 2...64))
    if try optional("layer_types") != nil {
      let kinds = try kinds(
        "layer_types", layers: layers, of: ["linear_attention", "full_attention"],
        default: { _ in "linear_attention" })
      older?.ignore("full_attn_layers", "kda_layers")
      return (attention, kinds.map { $0 == "linear_attention" })
    }
    guard let older else {
      _ = try optionalTexts("layer_types")
      throw refusal("layer_types", "is missing, and so is 'linear_attn_config'")
    }
    // Both lists number layers from 1.
    let full = try older.optionalInts("full_attn_layers", in: 1...layers) ?? []
    let linear = try older.optionalInts("kda_layers", in: 1...layers) ?? []
    if (full + linear).sorted() != Array(1...layers) {
      throw older.refusal("kda_layers", "and 'full_attn_layers' do not name every layer once")
    }
    return (attention, (1...layers).map { linear.contains($0) })
  }
}
