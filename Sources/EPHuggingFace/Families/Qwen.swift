import EPJSON
import EPModel

extension ConfigReader {
  /// Qwen1.5-MoE and Qwen2-57B-A14B: biases on queries, keys and values, a gated shared expert.
  func qwen2MoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden)
    try requireFullAttention(layers: decoder.layers)
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half).rope,
      bias: try flag("qkv_bias", default: true) ? .queryKeyValue : .none)
    let mixture = try qwenMixture(
      normalized: try flag("norm_topk_prob", default: false),
      shared: try int("shared_expert_intermediate_size", in: Sizes.inner))
    let dense = try alternative(layers: decoder.layers)
    return decoder.model { layer in
      Block {
        attention
      } feedForward: {
        dense[layer] ?? mixture
      }
    }
  }

  /// Qwen3-MoE: every head normalised before the rotation.
  func qwen3MoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden)
    try requireFullAttention(layers: decoder.layers)
    try require("qkv_bias", false, else: "is ignored by transformers")
    try require("use_qk_norm", true, else: "is ignored by transformers, which always normalises")
    try require("shared_expert_intermediate_size", 0, else: "is ignored by transformers")
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half).rope, norm: .perHead(),
      bias: try flag("attention_bias", default: false) ? .all : .none)
    let mixture = try qwenMixture(
      normalized: try flag("norm_topk_prob", default: false), shared: nil)
    let dense = try alternative(layers: decoder.layers)
    return decoder.model { layer in
      Block {
        attention
      } feedForward: {
        dense[layer] ?? mixture
      }
    }
  }

  /// Refuses windows, which the two generations of code place in different layers.
  private func requireFullAttention(layers: Int) throws(ImportError) {
    try require("use_sliding_window", false, else: "cannot be expressed yet")
    _ = try kinds(
      "layer_types", layers: layers, of: ["full_attention"], default: { _ in "full_attention" })
    ignore("sliding_window", "max_window_layers")
  }

  /// The routed experts, and the shared one of that inner size, scaled by a gate of its own.
  func qwenMixture(normalized: Bool, shared: Int?) throws(ImportError) -> MixtureOfExperts {
    try requireSiLU()
    let router = Router(
      .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts), normalized: normalized)
    let size = try int("moe_intermediate_size", in: Sizes.inner)
    let count = try int("num_experts", or: "num_local_experts", in: Sizes.experts)
    return MixtureOfExperts {
      router
      if let shared {
        SharedExperts(gated: true, named: "shared_expert") { SwiGLU(shared) }
      }
      RoutedExperts(count) { SwiGLU(size) }
    }
  }

  /// The dense feed-forward of each layer that has no experts.
  func alternative(layers: Int) throws(ImportError) -> [(any Module)?] {
    let step = try int("decoder_sparse_step", in: 1...1 << 20, default: 1)
    let only = Set(try optionalInts("mlp_only_layers") ?? [])
    let isDense = (0..<layers).map { only.contains($0) || ($0 + 1) % step != 0 }
    if !isDense.contains(true) {
      ignore("intermediate_size")
      return Array(repeating: nil, count: layers)
    }
    let dense = SwiGLU(try int("intermediate_size", in: Sizes.inner))
    return isDense.map { $0 ? dense : nil }
  }
}
