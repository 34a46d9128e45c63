import EPJSON
import EPModel

extension ConfigReader {
  /// MiMo-V2-Flash: windows with sinks in most layers, which have more key heads and another base
  /// than the others; scaled values.
  func miMoV2Flash(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    try require(
      "layernorm_epsilon", .double(decoder.epsilon), else: "is ignored by transformers")
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    let valueSize = try int("v_head_dim", in: Sizes.head)
    try requireSlidingSizes(sizes, valueSize: valueSize)
    try require("add_swa_attention_sink_bias", true, else: "is ignored by transformers")
    try require("add_full_attention_sink_bias", false, else: "is ignored by transformers")
    let slides = try slidingLayers(decoder.layers)
    let window = try slidingWindow()
    let (full, sliding) = try ropes(size: sizes.headSize)
    let bias = try flag("attention_bias", default: false)
    // Without the field transformers takes the published factor, for a null none.
    let isGiven = try reading { () throws(JSONError) in try node.keys }
      .contains("attention_value_scale")
    let valueScale = try real("attention_value_scale", default: isGiven ? 1 : 0.707)
    try requireSiLU()
    try require("n_shared_experts", else: "is ignored by transformers")
    let router = try sigmoidRouter(scale: 1, groups: 1)
    let size = try int("moe_intermediate_size", in: Sizes.inner)
    let count = try int("n_routed_experts", or: "num_local_experts", in: Sizes.experts)
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let sparse = try mixtureLayers(decoder.layers)
    return decoder.model(ignoring: ["\(names.prefix).mtp.*"]) { layer in
      Block {
        MultiHeadAttention(
          heads: sizes.heads, keyValueHeads: sizes.keyValueHeads * (slides[layer] ? 2 : 1),
          headSize: sizes.headSize, valueSize: valueSize, rope: slides[layer] ? sliding : full,
          bias: bias ? .queryKeyValue : .none, window: slides[layer] ? window : nil,
          sinks: slides[layer], valueScale: valueScale
        )
        .renaming(["sinks": "attention_sink_bias"])
      } feedForward: {
        if sparse[layer] {
          MixtureOfExperts {
            router
            RoutedExperts(count) { SwiGLU(size) }
          }
        } else {
          dense
        }
      }
    }
  }

  /// Sliding layers have twice the key heads; fields that say otherwise are ignored by transformers.
  private func requireSlidingSizes(
    _ sizes: GroupedFields, valueSize: Int
  ) throws(ImportError) {
    let reason = "is ignored by transformers, and differs from what it takes"
    try require("swa_num_attention_heads", .int(sizes.heads), else: reason)
    try require("swa_num_key_value_heads", .int(2 * sizes.keyValueHeads), else: reason)
    try require("swa_head_dim", .int(sizes.headSize), else: reason)
    try require("swa_v_head_dim", .int(valueSize), else: reason)
  }

  /// How many tokens a sliding layer sees: `sliding_window_size` does not count the token itself.
  private func slidingWindow() throws(ImportError) -> Int {
    if let size = try optionalInt("sliding_window_size", in: Sizes.tokens) {
      try require("sliding_window", .int(size), .int(size + 1), else: "is not the same window")
      try require("attention_chunk_size", .int(size), else: "is not the same window")
      return size + 1
    }
    ignore("attention_chunk_size")
    return try int("sliding_window", in: Sizes.tokens, default: 129)
  }

  private func slidingLayers(_ layers: Int) throws(ImportError) -> [Bool] {
    let kinds = try kinds(
      "layer_types", layers: layers, of: ["full_attention", "sliding_attention"],
      default: { $0 == 0 || ($0 + 1) % 6 == 0 ? "full_attention" : "sliding_attention" })
    let slides = kinds.map { $0 == "sliding_attention" }
    try requirePattern("hybrid_layer_pattern", slides)
    return slides
  }

  private func mixtureLayers(_ layers: Int) throws(ImportError) -> [Bool] {
    let kinds = try kinds(
      "mlp_layer_types", layers: layers, of: ["dense", "sparse"],
      default: { $0 == 0 ? "dense" : "sparse" })
    let sparse = kinds.map { $0 == "sparse" }
    try requirePattern("moe_layer_freq", sparse)
    return sparse
  }

  /// Refuses a published pattern of layers that is not the one that transformers takes.
  private func requirePattern(_ key: String, _ taken: [Bool]) throws(ImportError) {
    if let pattern = try optionalInts(key, in: 0...1), pattern != taken.map({ $0 ? 1 : 0 }) {
      throw refusal(key, "is ignored by transformers, and differs from what it takes")
    }
  }

  /// The rotations of full and of sliding layers.
  private func ropes(size: Int) throws(ImportError) -> (RotaryEmbedding, RotaryEmbedding) {
    func rope(_ theta: Double, _ factor: Double?) -> RotaryEmbedding {
      var rope = RotaryEmbedding(theta: theta, rotated: Int(Double(size) * (factor ?? 0.334)))
      rope.completePair()
      return rope
    }
    let range = 1e-3...1e15
    if let both = try optionalObject("rope_parameters"),
      let full = try both.optionalObject("full_attention"),
      let sliding = try both.optionalObject("sliding_attention")
    {
      for one in [full, sliding] {
        try one.require("rope_type", "default", else: "is a scaling that is not known here")
      }
      return (
        rope(
          try full.real("rope_theta", in: range),
          try full.optionalReal("partial_rotary_factor", in: 0...1)),
        rope(
          try sliding.real("rope_theta", in: range),
          try sliding.optionalReal("partial_rotary_factor", in: 0...1))
      )
    }
    let published = [
      ("rope_theta", 5e6), ("swa_rope_theta", 1e4), ("partial_rotary_factor", 0.334),
    ]
    for (key, value) in published {
      try require(key, .double(value), else: "is ignored by transformers, which takes \(value)")
    }
    return (rope(5e6, nil), rope(1e4, nil))
  }
}
