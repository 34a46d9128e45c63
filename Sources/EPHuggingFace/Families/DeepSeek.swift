import EPJSON
import EPModel

/// The sizes of multi-head latent attention.
struct LatentFields {
  var heads: Int
  var queryRank: Int?
  var keyValueRank: Int
  var nopeSize: Int
  var ropeSize: Int
  var valueSize: Int
  var bias: Bool

  /// `1 / sqrt` of what a query and a key have.
  var plainScale: Double { 1 / Double(nopeSize + ropeSize).squareRoot() }

  /// The attention; with an indexer, rows attend to what it selects.
  func attention(
    rope: RotaryEmbedding?, scale: Double, queryScale: Double = 1, latentScale: Double = 1,
    indexer: MultiHeadLatentAttention.Indexer? = nil
  ) -> MultiHeadLatentAttention {
    // The latent norms take 1e-6 whatever 'rms_norm_eps' says, as the reference does.
    MultiHeadLatentAttention(
      heads: heads, queryRank: queryRank, keyValueRank: keyValueRank, nopeSize: nopeSize,
      ropeSize: ropeSize, valueSize: valueSize, rope: rope, scale: scale, latentEpsilon: 1e-6,
      queryScale: queryScale, latentScale: latentScale, bias: bias, indexer: indexer)
  }
}

extension ConfigReader {
  /// Reads the sizes of MLA.
  func latent() throws(ImportError) -> LatentFields {
    let heads = try int("num_attention_heads", in: Sizes.heads)
    try require(
      "num_key_value_heads", .int(heads), else: "is not the number of attention heads (MLA)")
    let nope = try int("qk_nope_head_dim", in: Sizes.head)
    let rope = try int("qk_rope_head_dim", in: Sizes.head)
    try require("qk_head_dim", .int(nope + rope), else: "is not the sum of its two parts")
    ignore("head_dim")
    return LatentFields(
      heads: heads, queryRank: try optionalInt("q_lora_rank", in: Sizes.hidden),
      keyValueRank: try int("kv_lora_rank", in: Sizes.hidden), nopeSize: nope, ropeSize: rope,
      valueSize: try int("v_head_dim", in: Sizes.head),
      bias: try flag("attention_bias", default: false))
  }

  /// DeepSeek-V2, whose gate scores by softmax and scales without normalising.
  func deepseekV2(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let latent = try latent()
    let fields = try rope(size: latent.ropeSize, layout: .interleaved)
    try require("scoring_func", "softmax", else: "is not \"softmax\"")
    try require(
      "norm_topk_prob", false, else: "is ignored by transformers and honoured elsewhere")
    try require("mlp_bias", false, else: "cannot be expressed yet")
    try requireMoEEverywhere()
    let method = try optionalText("topk_method") ?? "greedy"
    var limit: GroupLimit?
    switch method {
    case "greedy": ignore("n_group", "topk_group")
    case "group_limited_greedy": limit = try groupLimit(.max, groups: nil)
    default: throw refusal("topk_method", "is neither \"greedy\" nor \"group_limited_greedy\"")
    }
    let router = Router(
      .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts),
      scale: try real("routed_scaling_factor", default: 1), limit: limit)
    let feedForward = try sharedAndRouted(router)
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let sparse = try sparseLayers(decoder.layers)
    let attention = latent.attention(
      rope: fields.rope, scale: latent.plainScale * fields.logitScale)
    return decoder.model { layer in
      Block {
        attention
      } feedForward: {
        if sparse[layer] { feedForward } else { dense }
      }
    }
  }

  /// DeepSeek-V3 and Kimi K2.
  func deepseekV3(_ names: WeightNames) throws(ImportError) -> Model {
    let interleaved = try flag("rope_interleave", default: true)
    return try latentMixture(names, epsilon: 1e-6, layout: interleaved ? .interleaved : .half)
  }

  /// DeepSeek-V3.2: V3 with an indexer, which turns halves where the attention turns pairs.
  func deepseekV32(_ names: WeightNames) throws(ImportError) -> Model {
    try latentMixture(names, epsilon: 1e-6, layout: .interleaved, indexed: .half)
  }

  /// GLM-5: as V3.2, but the indexer turns pairs too.
  func glmMoEDSA(_ names: WeightNames) throws(ImportError) -> Model {
    for key in ["rope_interleave", "indexer_rope_interleave"] {
      try require(key, true, else: "is ignored by transformers, which always turns pairs")
    }
    if let kinds = try optionalTexts("indexer_types"), kinds.contains(where: { $0 != "full" }) {
      throw refusal(
        "indexer_types", "(layers that reuse another layer's selection) cannot be expressed yet")
    }
    try require(
      "index_topk_freq", 1,
      else: "(layers that reuse another layer's selection) cannot be expressed yet")
    try require("index_topk_pattern", else: "cannot be expressed yet")
    ignore("index_skip_topk_offset", "index_share_for_mtp_iteration")
    return try latentMixture(
      names, epsilon: 1e-5, layout: .interleaved, indexed: .interleaved, groups: 1)
  }

  /// GLM-4.7-Flash: DeepSeek-V3 with other sizes.
  func glm4MoELite(_ names: WeightNames) throws(ImportError) -> Model {
    let interleaved = try flag("rope_interleave", default: true)
    if try optional("mlp_layer_types") == nil {
      try require("first_k_dense_replace", 1, else: "is ignored by transformers, which takes 1")
    }
    return try latentMixture(
      names, epsilon: 1e-5, layout: interleaved ? .interleaved : .half, firstDense: 1, groups: 1)
  }

  /// MLA with a mixture routed by sigmoid; `indexed` gives the indexer's rotation if there is one.
  private func latentMixture(
    _ names: WeightNames, epsilon: Double, layout: RotaryEmbedding.Layout,
    indexed: RotaryEmbedding.Layout? = nil, firstDense: Int? = nil, groups: Int? = nil
  ) throws(ImportError) -> Model {
    var decoder = try decoder(names, epsilon: epsilon)
    let latent = try latent()
    let fields = try rope(size: latent.ropeSize, layout: layout)
    try requireMoEEverywhere()
    try require("mlp_bias", false, else: "cannot be expressed yet")
    let feedForward = try sharedAndRouted(try sigmoidRouter(groups: groups))
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let sparse = try sparseLayers(decoder.layers, firstDense: firstDense)
    var indexer: MultiHeadLatentAttention.Indexer?
    if let indexed {
      indexer = try self.indexer(latent, fields.rope, indexed, layers: decoder.layers)
    }
    let attention = latent.attention(
      rope: fields.rope, scale: latent.plainScale * fields.logitScale, indexer: indexer)
    let drafts = try drafts(&decoder) {
      Block {
        attention
      } feedForward: {
        feedForward
      }
    }
    return decoder.model(drafts: drafts) { layer in
      Block {
        attention
      } feedForward: {
        if sparse[layer] { feedForward } else { dense }
      }
    }
  }

  private func indexer(
    _ latent: LatentFields, _ rope: RotaryEmbedding, _ layout: RotaryEmbedding.Layout, layers: Int
  ) throws(ImportError) -> MultiHeadLatentAttention.Indexer {
    _ = try kinds(
      "layer_types", layers: layers, of: ["indexed_attention"],
      default: { _ in "indexed_attention" })
    if latent.queryRank == nil {
      throw refusal("q_lora_rank", "leaves the indexer without compressed queries")
    }
    var turning = rope
    turning.layout = layout
    turning.rotated = latent.ropeSize
    return MultiHeadLatentAttention.Indexer(
      heads: try int("index_n_heads", in: Sizes.heads),
      headSize: try int("index_head_dim", in: latent.ropeSize...Sizes.head.upperBound),
      topK: try int("index_topk", in: 1...1 << 24), rope: turning)
  }

  /// Routed experts and shared ones, which stand side by side, of one inner size.
  func sharedAndRouted(
    _ router: Router, experts: String = "n_routed_experts", shared: String = "n_shared_experts"
  ) throws(ImportError) -> MixtureOfExperts {
    let size = try int("moe_intermediate_size", in: Sizes.inner)
    let count = try int(experts, or: "num_local_experts", in: Sizes.experts)
    let sharedCount = try int(shared, in: 0...256)
    return MixtureOfExperts {
      router
      if sharedCount > 0 { SharedExperts(sharedCount) { SwiGLU(size) } }
      RoutedExperts(count) { SwiGLU(size) }
    }
  }

  /// Refuses activations but SiLU, and experts in every other layer only.
  func requireMoEEverywhere() throws(ImportError) {
    try requireSiLU()
    try require("moe_layer_freq", 1, else: "is not 1; transformers ignores it")
  }
}
