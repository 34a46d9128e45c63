import EPJSON
import EPModel

extension ConfigReader {
  /// Qwen1.5-MoE and Qwen2-57B-A14B: biases on queries, keys and values, a gated shared expert.
  func qwen2MoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden)
    let window = try qwenWindow()
    let first = try int("max_window_layers", in: 0...1 << 20, default: 28)
    let kinds = try kinds(
      "layer_types", layers: decoder.layers, of: ["full_attention", "sliding_attention"],
      default: {
        window != nil && $0 % 2 == 0 && $0 < first ? "sliding_attention" : "full_attention"
      })
    if window == nil && kinds.contains("sliding_attention") {
      throw refusal("use_sliding_window", "is not true, but layers of 'layer_types' slide")
    }
    let rope = try rope(size: sizes.headSize, layout: .half).rope
    let bias = try flag("qkv_bias", default: true)
    let mixture = try qwenMixture(
      normalized: try flag("norm_topk_prob", default: false),
      shared: try int("shared_expert_intermediate_size", in: Sizes.inner))
    let dense = try alternative(layers: decoder.layers)
    return decoder.model { layer in
      Block {
        MultiHeadAttention(
          heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
          rope: rope, bias: bias ? .queryKeyValue : .none,
          window: kinds[layer] == "sliding_attention" ? window : nil)
      } feedForward: {
        dense[layer] ?? mixture
      }
    }
  }

  /// Qwen3-MoE: every head normalised before the rotation.
  func qwen3MoE(
    _ names: WeightNames, storage: GatedStorage = .separate, theta: Double? = nil,
    normalized: Bool = false
  ) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden)
    _ = try kinds(
      "layer_types", layers: decoder.layers, of: ["full_attention"],
      default: { _ in "full_attention" })
    // transformers lets all layers slide, whatever this says.
    ignore("max_window_layers")
    try require("qkv_bias", false, else: "is ignored by transformers")
    try require("use_qk_norm", true, else: "is ignored by transformers, which always normalises")
    try require("shared_expert_intermediate_size", 0, else: "is ignored by transformers")
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half, theta: theta).rope, norm: .perHead(),
      bias: try flag("attention_bias", default: false) ? .all : .none, window: try qwenWindow())
    let mixture = try qwenMixture(
      normalized: try flag("norm_topk_prob", default: normalized), shared: nil, storage: storage)
    let dense = try alternative(layers: decoder.layers)
    return decoder.model { layer in
      Block {
        attention
      } feedForward: {
        dense[layer] ?? mixture
      }
    }
  }

  /// Qwen3-VL-MoE: a wrapper with a vision tower, which is left out, of Qwen3-MoE with fused experts.
  func qwen3VLMoE() throws(ImportError) -> Model {
    ignore("vision_config")
    let text = try text("qwen3_vl_moe_text")
    // Text has one position in all three sections.
    for key in ["rope_scaling", "rope_parameters"] {
      try text.optionalObject(key)?.ignore("mrope_section", "mrope_interleaved")
    }
    // transformers windows no layer, and always normalises the weights of experts.
    try text.require("use_sliding_window", false, else: "is ignored by transformers")
    try text.require("norm_topk_prob", true, else: "is ignored by transformers")
    return try text.qwen3MoE(
      WeightNames(prefix: "model.language_model", ignored: ["model.visual.*"]),
      storage: .fused(gateUp: "gate_up_proj", down: "down_proj", transposed: true),
      theta: 500_000, normalized: true)
  }

  /// The window of layers that slide, unless the config turns windows off.
  private func qwenWindow() throws(ImportError) -> Int? {
    if try flag("use_sliding_window", default: false) {
      return try int("sliding_window", in: Sizes.tokens, default: 4096)
    }
    ignore("sliding_window")
    return nil
  }

  /// The routed experts, and the shared one of that inner size, scaled by a gate of its own.
  func qwenMixture(
    normalized: Bool, shared: Int?, storage: GatedStorage = .separate
  ) throws(ImportError) -> MixtureOfExperts {
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
      RoutedExperts(count) { SwiGLU(size, storage: storage) }
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
