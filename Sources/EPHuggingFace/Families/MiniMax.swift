import EPJSON
import EPModel

extension ConfigReader {
  /// MiniMax-Text-01 as transformers names its fields.
  func miniMax(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden)
    try require("sliding_window", else: "is not honoured where layers alternate")
    try require(
      "rotary_dim", .int(sizes.headSize),
      else: "is ignored by transformers, which turns whole heads of \(sizes.headSize)")
    ignore("block_size")
    let kinds = try kinds(
      "layer_types", layers: decoder.layers, of: ["full_attention", "linear_attention"],
      default: { ($0 + 1) % 2 == 1 ? "full_attention" : "linear_attention" })
    return try hybrid(
      decoder, sizes, isLinear: kinds.map { $0 == "linear_attention" },
      rope: try rope(size: sizes.headSize, layout: .half, theta: 1e6).rope,
      full: try factors("full_attn_alpha_factor", "full_attn_beta_factor"),
      linear: try factors("linear_attn_alpha_factor", "linear_attn_beta_factor"),
      feedForward: try factors("mlp_alpha_factor", "mlp_beta_factor"))
  }

  /// MiniMax-M1, whose own code names the same things otherwise and turns part of a head.
  func miniMaxM1(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    try require("sliding_window", else: "cannot be expressed yet")
    try require("postnorm", true, else: "(residuals before the norm) cannot be expressed yet")
    try require("shared_intermediate_size", 0, else: "(a shared expert) cannot be expressed yet")
    ignore("shared_moe_mode")
    guard let kinds = try optionalInts("attn_type_list", in: 0...1),
      kinds.count == decoder.layers
    else { throw refusal("attn_type_list", "has not one element for each layer") }
    let rotated = try int("rotary_dim", in: 1...sizes.headSize, default: sizes.headSize)
    let rope = try rope(
      size: sizes.headSize, layout: .half, theta: 1e6, part: .elements(rotated))
    return try hybrid(
      decoder, sizes, isLinear: kinds.map { $0 == 0 }, rope: rope.rope,
      full: try factors("layernorm_full_attention_alpha", "layernorm_full_attention_beta"),
      linear: try factors("layernorm_linear_attention_alpha", "layernorm_linear_attention_beta"),
      feedForward: try factors("layernorm_mlp_alpha", "layernorm_mlp_beta"))
  }

  private func factors(_ alpha: String, _ beta: String) throws(ImportError) -> (Double, Double) {
    (try optionalReal(alpha) ?? 1, try optionalReal(beta) ?? 1)
  }

  private func hybrid(
    _ decoder: DecoderFields, _ sizes: GroupedFields, isLinear: [Bool], rope: RotaryEmbedding,
    full: (Double, Double), linear: (Double, Double), feedForward: (Double, Double)
  ) throws(ImportError) -> Model {
    let softmax = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize, rope: rope)
    let lightning = LightningAttention(heads: sizes.heads, headSize: sizes.headSize)
    let mixture = try mixtralMixture(
      Router(
        .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts), normalized: true))
    // Buffers that transformers saves, made of nothing but the layer's number.
    let buffers = ["slope_rate", "query_decay", "key_decay", "diagonal_decay"]
    return decoder.model(ignoring: buffers.map { "*.self_attn.\($0)" }) { layer in
      let attention = isLinear[layer] ? linear : full
      Block(
        residual: .normalized(
          attentionAlpha: attention.0, attentionBeta: attention.1,
          feedForwardAlpha: feedForward.0, feedForwardBeta: feedForward.1)
      ) {
        if isLinear[layer] { lightning } else { softmax }
      } feedForward: {
        mixture
      }
    }
  }

  /// MiniMax-M2: all heads normalised together, part of a head turned, DeepSeek-V3's gate without
  /// its scale.
  func miniMaxM2(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    try require("use_qk_norm", true, else: "is ignored by transformers, which always normalises")
    try require("qk_norm_type", "per_layer", else: "is not \"per_layer\"")
    try require("use_routing_bias", true, else: "is ignored by transformers, which has a bias")
    try require("scoring_func", "sigmoid", else: "is not \"sigmoid\"")
    try require("shared_intermediate_size", 0, else: "(a shared expert) cannot be expressed yet")
    if let kinds = try optionalInts("attn_type_list", in: 0...1), kinds.contains(0) {
      throw refusal("attn_type_list", "has layers of linear attention, which M2 does not")
    }
    // Every layer has experts, so nothing has the size of a dense feed-forward.
    ignore("use_mtp", "mtp_transformer_layers", "mlp_intermediate_size", "shared_moe_mode")
    try leaveOutDrafts("num_mtp_modules")
    var part = RotatedPart.partial(default: 1)
    if let rotated = try optionalInt("rotary_dim", in: 1...sizes.headSize) {
      part = .elements(rotated)
    }
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half, theta: 5e6, part: part).rope,
      norm: .full)
    let mixture = try mixtralMixture(
      Router(
        .sigmoid, topK: try int("num_experts_per_tok", in: Sizes.experts), correctionBias: true,
        normalized: true),
      gate: ["gate.e_score_correction_bias": "e_score_correction_bias"])
    return decoder.model(ignoring: ["\(names.prefix).mtp.*", "mtp.*"]) { _ in
      Block {
        attention
      } feedForward: {
        mixture
      }
    }
  }
}
