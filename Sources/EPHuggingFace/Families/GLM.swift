import EPJSON
import EPModel

extension ConfigReader {
  /// GLM-4.5: grouped-query attention that rotates half a head, and DeepSeek-V3's mixture.
  func glm4MoE(_ names: WeightNames) throws(ImportError) -> Model {
    var decoder = try decoder(names, epsilon: 1e-5)
    let heads = try int("num_attention_heads", in: Sizes.heads)
    let size = try headSize(hidden: decoder.hidden, heads: heads)
    let fields = try rope(size: size, layout: .half, part: .partial(default: 0.5))
    try requireMoEEverywhere()
    let attention = MultiHeadAttention(
      heads: heads, keyValueHeads: try int("num_key_value_heads", in: Sizes.heads),
      headSize: size, rope: fields.rope,
      norm: try flag("use_qk_norm", default: false) ? .perHead() : .none,
      bias: try flag("attention_bias", default: false) ? .queryKeyValue : .none)
    let mixture = try sharedAndRouted(try sigmoidRouter(scale: 1, groups: 1))
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let sparse = try sparseLayers(decoder.layers)
    let drafts = try drafts(&decoder) {
      Block {
        attention
      } feedForward: {
        mixture
      }
    }
    return decoder.model(drafts: drafts) { layer in
      Block {
        attention
      } feedForward: {
        if sparse[layer] { mixture } else { dense }
      }
    }
  }

  /// Solar Open: as GLM-4.5, but whole heads turn, and every layer has experts.
  func solarOpen(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    let rope = try rope(size: sizes.headSize, layout: .half, theta: 1e6)
    try requireMoEEverywhere()
    try require("use_qk_norm", false, else: "is ignored by transformers, which never normalises")
    try require("first_k_dense_replace", 0, else: "is ignored by transformers")
    ignore("intermediate_size")
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: rope.rope, bias: try flag("attention_bias", default: false) ? .queryKeyValue : .none)
    let mixture = try sharedAndRouted(try sigmoidRouter(scale: 1, groups: 1))
    return decoder.model { _ in
      Block {
        attention
      } feedForward: {
        mixture
      }
    }
  }

  /// dots.llm1: as GLM-4.5, but whole heads turn, every head is normalised, and layers may have a
  /// window.
  func dots1(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let heads = try int("num_attention_heads", in: Sizes.heads)
    let size = try headSize(hidden: decoder.hidden, heads: heads)
    let fields = try rope(size: size, layout: .half)
    try requireMoEEverywhere()
    let window = try optionalInt("sliding_window", in: Sizes.tokens)
    let firstSliding = try int("max_window_layers", in: 0...1 << 20, default: 62)
    let kinds = try kinds(
      "layer_types", layers: decoder.layers, of: ["full_attention", "sliding_attention"],
      default: { window != nil && $0 >= firstSliding ? "sliding_attention" : "full_attention" })
    if window == nil && kinds.contains("sliding_attention") {
      throw refusal("sliding_window", "is missing, but layers of 'layer_types' slide")
    }
    let keyHeads = try int("num_key_value_heads", in: Sizes.heads)
    let bias = try flag("attention_bias", default: false)
    let router = try sigmoidRouter(normalized: false, scale: 1, groups: 1)
    let mixture = try sharedAndRouted(router)
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    let sparse = try sparseLayers(decoder.layers)
    return decoder.model { layer in
      Block {
        MultiHeadAttention(
          heads: heads, keyValueHeads: keyHeads, headSize: size, rope: fields.rope,
          norm: .perHead(), bias: bias ? .all : .none,
          window: kinds[layer] == "sliding_attention" ? window : nil)
      } feedForward: {
        if sparse[layer] { mixture } else { dense }
      }
    }
  }
}
