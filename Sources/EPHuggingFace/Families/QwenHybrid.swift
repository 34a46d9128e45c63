import EPJSON
import EPModel

extension ConfigReader {
  /// Qwen3-Next: gated delta attention in three of four layers, norms that store their weight less
  /// one, an attention whose output a part of its queries gates.
  func qwen3Next(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    try require("use_sliding_window", false, else: "cannot be expressed yet")
    let mixture = try qwenMixture(
      normalized: try flag("norm_topk_prob", default: true),
      shared: try int("shared_expert_intermediate_size", in: Sizes.inner))
    let dense = try alternative(layers: decoder.layers)
    return try hybrid(decoder, projections: .groupedByKeyHead) { dense[$0] ?? mixture }
  }

  /// Qwen3.5-MoE: a wrapper with a vision tower, which is left out.
  func qwen35MoE() throws(ImportError) -> Model {
    ignore("vision_config")
    return try text("qwen3_5_moe_text").qwen35MoEText(
      WeightNames(prefix: "model.language_model", ignored: ["model.visual.*"]))
  }

  /// The language model of Qwen3.5-MoE: Qwen3-Next with its projections in tensors of their own.
  func qwen35MoEText(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    try require("attn_output_gate", true, else: "is ignored by transformers, which always gates")
    if let dense = try optionalInts("mlp_only_layers"), !dense.isEmpty {
      throw refusal("mlp_only_layers", "is ignored by transformers")
    }
    ignore("mtp_use_dedicated_embeddings")
    try leaveOutDrafts("mtp_num_hidden_layers")
    // Text has one position in all three sections.
    try optionalObject("rope_parameters")?.ignore("mrope_section", "mrope_interleaved")
    let mixture = try qwenMixture(
      normalized: true, shared: try int("shared_expert_intermediate_size", in: Sizes.inner))
    return try hybrid(decoder, projections: .separate) { _ in mixture }
  }

  private func hybrid(
    _ decoder: DecoderFields, projections: GatedDeltaNet.Projections,
    feedForward: @escaping (Int) -> any Module
  ) throws(ImportError) -> Model {
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    let interval = try int("full_attention_interval", in: 1...1 << 20, default: 4)
    let kinds = try kinds(
      "layer_types", layers: decoder.layers, of: ["linear_attention", "full_attention"],
      default: { ($0 + 1) % interval == 0 ? "full_attention" : "linear_attention" })
    let softmax = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(
        size: sizes.headSize, layout: .half, part: .partial(default: 0.25)
      ).rope,
      norm: .perHead(unitOffset: true),
      bias: try flag("attention_bias", default: false) ? .all : .none, gate: .inQuery)
    let delta = GatedDeltaNet(
      keyHeads: try int("linear_num_key_heads", in: Sizes.heads),
      valueHeads: try int("linear_num_value_heads", in: Sizes.heads),
      keySize: try int("linear_key_head_dim", in: Sizes.head),
      valueSize: try int("linear_value_head_dim", in: Sizes.head),
      taps: try int("linear_conv_kernel_dim", in: 2...64), projections: projections)
    let norm = RMSNorm(unitOffset: true)
    return decoder.model(norm: norm, ignoring: ["mtp.*"]) { layer in
      Block(norm: norm) {
        if kinds[layer] == "linear_attention" { delta.named("linear_attn") } else { softmax }
      } feedForward: {
        feedForward(layer)
      }
    }
  }
}
