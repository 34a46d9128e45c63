import EPJSON
import EPModel

extension ConfigReader {
  /// ERNIE 4.5: pairs turn, a bias corrects the selection by softmax scores.
  func ernie45MoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5, tied: true)
    let sizes = try grouped(hidden: decoder.hidden)
    try requireSiLU()
    try require("use_bias", false, else: "cannot be expressed yet")
    try require("moe_use_aux_free", true, else: "is ignored by transformers, which has a bias")
    try require("moe_gate", "topk", else: "is ignored by transformers")
    try require("moe_gate_act", "softmax", else: "is not \"softmax\"")
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
}
