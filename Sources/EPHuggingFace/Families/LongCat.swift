import EPJSON
import EPModel

extension ConfigReader {
  /// LongCat-Flash: two attentions and two feed-forwards a layer, a mixture beside them, experts
  /// that return their input.
  func longCatFlash(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5, layersKey: "num_layers")
    let latent = try latent()
    guard let queryRank = latent.queryRank else {
      throw refusal("q_lora_rank", "is missing; the family compresses queries")
    }
    try requireSiLU()
    try require("attention_method", "MLA", else: "is not \"MLA\"")
    try require("router_bias", false, else: "is ignored by transformers, which adds none")
    try require("norm_topk_prob", false, else: "is ignored by transformers")
    try require("zero_expert_type", "identity", else: "is not \"identity\"")
    for key in ["mla_scale_q_lora", "mla_scale_kv_lora"] {
      try require(key, true, else: "is ignored by transformers, which always scales")
    }
    ignore("num_hidden_layers")
    let fields = try rope(size: latent.ropeSize, layout: .interleaved, theta: 1e7)
    let hidden = Double(decoder.hidden)
    let attention = latent.attention(
      rope: fields.rope, scale: latent.plainScale * fields.logitScale,
      queryScale: (hidden / Double(queryRank)).squareRoot(),
      latentScale: (hidden / Double(latent.keyValueRank)).squareRoot())
    let router = Router(
      .softmax, topK: try int("moe_topk", or: "num_experts_per_tok", in: Sizes.experts),
      correctionBias: true, scale: try real("routed_scaling_factor"))
    let identity = try int("zero_expert_num", in: 0...Sizes.experts.upperBound)
    let count = try int("n_routed_experts", or: "num_local_experts", in: Sizes.experts)
    let size = try int("expert_ffn_hidden_size", or: "moe_intermediate_size", in: Sizes.inner)
    let dense = SwiGLU(try int("ffn_hidden_size", or: "intermediate_size", in: Sizes.inner))
    // transformers saves experts that return their input too, as halves of a fused tensor.
    let saved = (count..<(count + identity)).map { "\(names.prefix).layers.*.mlp.experts.\($0).*" }
    return decoder.model(ignoring: ["\(names.prefix).mtp.*"] + saved) { _ in
      ShortcutBlock {
        attention
      } feedForward: {
        dense
      } mixture: {
        MixtureOfExperts {
          router
          RoutedExperts(count, identity: identity) { SwiGLU(size) }
        }
        .renaming([
          "mlp.gate.weight": "mlp.router.classifier.weight",
          "mlp.gate.e_score_correction_bias": "mlp.router.e_score_correction_bias",
        ])
      }
    }
  }
}
