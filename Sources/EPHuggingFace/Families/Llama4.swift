import EPJSON
import EPModel

extension ConfigReader {
  /// Llama 4: a wrapper with a vision tower, which is left out.
  func llama4() throws(ImportError) -> Model {
    ignore("vision_config")
    return try text("llama4_text").llama4Text(
      WeightNames(
        prefix: "language_model.model", head: "language_model.lm_head",
        ignored: ["vision_model.*", "multi_modal_projector.*"]))
  }

  /// The language model of Llama 4: weights go into experts with their input, one layer of four has
  /// no positions but a temperature, the others see chunks.
  func llama4Text(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    let turns = try rotatedLayers(decoder.layers)
    let kinds = try kinds(
      "layer_types", layers: decoder.layers, of: ["chunked_attention", "full_attention"],
      default: { turns[$0] ? "chunked_attention" : "full_attention" })
    let isChunked = kinds.map { $0 == "chunked_attention" }
    let chunk = try int("attention_chunk_size", in: Sizes.tokens, default: 8192)
    let rope = try rope(size: sizes.headSize, layout: .interleaved, theta: 500_000).rope
    let normalizes = try flag("use_qk_norm", default: true)
    let bias = try flag("attention_bias", default: false)
    let floor = try real("floor_scale", in: 1...1e12, default: 8192)
    let scale = try real("attn_scale", default: 0.1)
    let temperature =
      try flag("attn_temperature_tuning", default: true) ? (floor: floor, scale: scale) : nil
    let feedForwards = try llamaFeedForwards(decoder.layers)
    return decoder.model { layer in
      Block {
        MultiHeadAttention(
          heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
          rope: turns[layer] ? rope : nil,
          norm: normalizes && turns[layer] ? .unweightedAfterRope : .none,
          bias: bias ? .all : .none, chunk: isChunked[layer] ? chunk : nil,
          temperature: turns[layer] ? nil : temperature)
      } feedForward: {
        feedForwards[layer]
      }
    }
  }

  /// Which layers rotate: `no_rope_layers` has a 1 for those that do.
  private func rotatedLayers(_ layers: Int) throws(ImportError) -> [Bool] {
    let interval = try int("no_rope_layer_interval", in: 1...1 << 20, default: 4)
    guard let flags = try optionalInts("no_rope_layers", in: 0...1), !flags.isEmpty else {
      return (0..<layers).map { ($0 + 1) % interval != 0 }
    }
    if flags.count != layers {
      throw refusal("no_rope_layers", "has \(flags.count) elements for \(layers) layers")
    }
    return flags.map { $0 == 1 }
  }

  private func llamaFeedForwards(_ layers: Int) throws(ImportError) -> [any Module] {
    try requireSiLU()
    ignore("router_jitter_noise")
    let step = try int("interleave_moe_layer_step", in: 1...1 << 20, default: 1)
    let sparse = try optionalInts("moe_layers").map(Set.init)
    let size = try int("intermediate_size", in: Sizes.inner)
    let topK = try int("num_experts_per_tok", in: Sizes.experts)
    let count = try int("num_local_experts", or: "num_experts", in: Sizes.experts)
    let mixture = MixtureOfExperts {
      Router(.sigmoid, topK: topK)
      SharedExperts(named: "shared_expert") { SwiGLU(size) }
      RoutedExperts(count, weighting: .input) {
        SwiGLU(
          size, storage: .fused(gateUp: "gate_up_proj", down: "down_proj", transposed: true))
      }
    }
    .renaming(["feed_forward.gate": "feed_forward.router"])
    .named("feed_forward")
    let isSparse = (0..<layers).map { sparse?.contains($0) ?? (($0 + 1) % step == 0) }
    if !isSparse.contains(false) {
      ignore("intermediate_size_mlp")
      return Array(repeating: mixture, count: layers)
    }
    let dense = SwiGLU(try int("intermediate_size_mlp", in: Sizes.inner)).named("feed_forward")
    return isSparse.map { isSparse -> any Module in if isSparse { mixture } else { dense } }
  }
}
