import EPJSON
import EPModel

extension ConfigReader {
  /// Ling 1 (`BailingMoeForCausalLM`): Mixtral-like routing with shared experts and fused names.
  func bailingMoE(_ names: WeightNames) throws(ImportError) -> Model {
    if let classes = try optionalTexts("architectures"),
      classes.contains(where: { $0.hasPrefix("BailingMoeV2") })
    {
      return try bailingMoEV2(names)
    }
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden)
    try require("norm_head", false, else: "(a normalised head) cannot be expressed yet")
    ignore("intermediate_size")
    let normalized = try flag("norm_topk_prob", default: true)
    let router = Router(
      .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts), normalized: normalized)
    return try bailing(
      decoder, sizes, rope: try rope(size: sizes.headSize, layout: .half).rope, norm: .none, router)
  }

  /// Ling 2 (`BailingMoeV2ForCausalLM`): DeepSeek-V3's gate, normalised heads that turn in part.
  func bailingMoEV2(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden)
    try require("norm_head", false, else: "(a normalised head) cannot be expressed yet")
    try require("norm_topk_prob", true, else: "is ignored by the model's code")
    try require("score_function", "sigmoid", else: "is not \"sigmoid\"")
    try require("scoring_func", "sigmoid", else: "is not \"sigmoid\"")
    try require("topk_method", "noaux_tc", else: "is not \"noaux_tc\"")
    try require("router_type", "topN", else: "is not \"topN\"")
    try require("moe_router_enable_expert_bias", true, else: "is ignored by the model's code")
    try require("moe_router_enable_routed_scaling", true, else: "is ignored by the model's code")
    try leaveOutDrafts("num_nextn_predict_layers")
    let drafts = try int("num_nextn_predict_layers", in: 0...64, default: 0)
    let router = Router(
      .sigmoid, topK: try int("num_experts_per_tok", in: Sizes.experts), correctionBias: true,
      normalized: true, normalizeEpsilon: 1e-20, scale: try real("routed_scaling_factor"),
      limit: try groupLimit(.topTwoSum, groups: nil))
    // Published configs say this beside the class default of a half, so it is required.
    _ = try real("partial_rotary_factor", in: 0...1)
    let rope = try rope(size: sizes.headSize, layout: .half, part: .partial(default: 1)).rope
    let norm = MultiHeadAttention.QueryKeyNorm.perHead()
    return try bailing(
      decoder, sizes, rope: rope, norm: try flag("use_qk_norm") ? norm : .none, router,
      ignoring: (0..<drafts).map { "\(names.prefix).layers.\(decoder.layers + $0).*" })
  }

  private func bailing(
    _ decoder: DecoderFields, _ sizes: GroupedFields, rope: RotaryEmbedding,
    norm: MultiHeadAttention.QueryKeyNorm, _ router: Router, ignoring: [String] = []
  ) throws(ImportError) -> Model {
    if decoder.tied { throw refusal("tie_word_embeddings", "cannot be expressed yet") }
    try requireSiLU()
    try require("use_sliding_window", false, else: "cannot be expressed yet")
    ignore("sliding_window", "max_window_layers")
    // The class default is true, published models say false.
    if try flag("use_bias") { throw refusal("use_bias", "cannot be expressed yet") }
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize, rope: rope,
      norm: norm, bias: try flag("use_qkv_bias", default: false) ? .queryKeyValue : .none,
      storage: .fused("query_key_value")
    )
    .renaming(["o_proj": "dense", "q_norm": "query_layernorm", "k_norm": "key_layernorm"])
    .named("attention")
    let mixture = try sharedAndRouted(router, experts: "num_experts", shared: "num_shared_experts")
      .renaming(["gate.e_score_correction_bias": "gate.expert_bias"])
    let sparse = try sparseLayers(decoder.layers, firstDense: 0)
    let feedForwards = try self.feedForwards(sparse, mixture)
    return decoder.model(
      embedding: Embedding().named("word_embeddings"), ignoring: ignoring
    ) { layer in
      Block {
        attention
      } feedForward: {
        feedForwards[layer]
      }
    }
  }

  private func feedForwards(
    _ sparse: [Bool], _ mixture: some Module
  ) throws(ImportError) -> [any Module] {
    if !sparse.contains(false) { return sparse.map { _ in mixture } }
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    return sparse.map { isSparse -> any Module in if isSparse { mixture } else { dense } }
  }
}
