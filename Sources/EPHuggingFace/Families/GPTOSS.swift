import EPJSON
import EPModel

extension ConfigReader {
  /// gpt-oss: attention sinks, windows in every other layer, a gate with biases, cut experts.
  func gptOSS(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    try requireSiLU()
    var rope = try rope(size: sizes.headSize, layout: .half, theta: 150_000).rope
    let older = try optional("rope_scaling")
    let newer = try optional("rope_parameters")
    if older == nil && newer == nil {
      // A config without either has the published scaling, as transformers reads it.
      rope.scaling = .yarn(
        factor: 32, originalContext: 4096, betaFast: 32, betaSlow: 1, truncate: false,
        attentionFactor: RotaryEmbedding.mscale(factor: 32))
    }
    let rotation = rope
    let bias = try flag("attention_bias", default: true)
    let kinds = try kinds(
      "layer_types", layers: decoder.layers, of: ["sliding_attention", "full_attention"],
      default: { ($0 + 1) % 2 == 1 ? "sliding_attention" : "full_attention" })
    let window = try int("sliding_window", in: Sizes.tokens, default: 128)
    ignore("initial_context_length")
    let topK = try int("num_experts_per_tok", in: Sizes.experts)
    try require("experts_per_token", .int(topK), else: "differs from 'num_experts_per_tok'")
    let size = try int("intermediate_size", in: Sizes.inner)
    let limit = try real("swiglu_limit", in: 1e-6...1e6, default: 7)
    let slope = try real("swiglu_alpha", in: 1e-6...1e6, default: 1.702)
    let count = try int("num_local_experts", or: "num_experts", in: Sizes.experts)
    let mixture = MixtureOfExperts {
      Router(.softmaxOverSelected, topK: topK, bias: true)
      RoutedExperts(count) {
        SwiGLU(
          size, limit: limit, slope: slope, upOffset: 1, bias: true,
          storage: .fused(
            gateUp: "gate_up_proj", down: "down_proj", transposed: true, interleaved: true))
      }
    }
    .renaming(["mlp.gate": "mlp.router"])
    return decoder.model { layer in
      Block {
        MultiHeadAttention(
          heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
          rope: rotation, bias: bias ? .all : .none,
          window: kinds[layer] == "sliding_attention" ? window : nil, sinks: true)
      } feedForward: {
        mixture
      }
    }
  }
}
