import EPJSON
import EPModel

extension ConfigReader {
  /// Granite 3 MoE, with or without a feed-forward that all tokens share, and Granite 4, where most
  /// layers have a state space: multipliers on embedding, attention, residuals and logits.
  func graniteMoE(_ names: WeightNames, _ family: Family) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden, unshared: true)
    try requireSiLU()
    let isHybrid = family == .graniteMoEHybrid
    var rope: RotaryEmbedding?
    let positions = isHybrid ? try optionalText("position_embedding_type") : "rope"
    if positions == "rope" {
      rope = try self.rope(size: sizes.headSize, layout: .half).rope
    } else {
      ignore("rope_theta", "rope_scaling", "rope_parameters")
    }
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize, rope: rope,
      bias: try flag("attention_bias", default: false) ? .all : .none,
      scale: try real("attention_multiplier", default: 1))
    let size = try int("intermediate_size", in: Sizes.inner)
    let shared =
      family == .graniteMoE ? nil : try int("shared_intermediate_size", in: Sizes.inner)
    let topK = try int("num_experts_per_tok", in: Sizes.experts)
    let count = try int("num_local_experts", or: "num_experts", in: Sizes.experts)
    let storage = GatedStorage.fused(gateUp: "input_linear.weight", down: "output_linear.weight")
    let mixture = MixtureOfExperts {
      Router(.softmaxOverSelected, topK: topK)
      if let shared {
        SharedExperts(named: "shared_mlp") { SwiGLU(shared, storage: storage) }
      }
      RoutedExperts(count, named: "") { SwiGLU(size, storage: storage) }
    }
    .renaming([
      "block_sparse_moe.gate": "block_sparse_moe.router.layer",
      "block_sparse_moe.shared_mlp": "shared_mlp",
    ])
    .named("block_sparse_moe")
    let (mamba, isMamba) = try isHybrid ? graniteStateSpaces(decoder) : (nil, [])
    let residual = try real("residual_multiplier", default: 1)
    let embedding = Embedding(scale: try real("embedding_multiplier", default: 1))
    let logits = try real("logits_scaling", in: 1e-6...1e6, default: 1)
    return decoder.model(embedding: embedding, logitScale: 1 / logits) { layer in
      Block(residual: .preNorm(scale: residual)) {
        if let mamba, isMamba[layer] { mamba.named("mamba") } else { attention }
      } feedForward: {
        mixture
      }
    }
  }

  /// The state space of Granite 4, and which layers have it.
  private func graniteStateSpaces(
    _ decoder: DecoderFields
  ) throws(ImportError) -> (Mamba2?, [Bool]) {
    try require("normalization_function", "rmsnorm", else: "is not \"rmsnorm\"")
    try require("mamba_proj_bias", false, else: "cannot be expressed yet")
    try require("mamba_n_groups", 1, else: "is not 1, over which the gated norm is known")
    ignore("init_method", "mamba_chunk_size")
    let kinds = try kinds(
      "layer_types", layers: decoder.layers,
      of: ["mamba", "attention", "linear_attention", "full_attention"],
      default: { _ in "linear_attention" })
    let heads = try int("mamba_n_heads", in: Sizes.heads, default: 128)
    let inner = try int("mamba_expand", in: 1...64, default: 2) * decoder.hidden
    if inner % heads != 0 { throw refusal("mamba_n_heads", "does not divide \(inner) elements") }
    try require("mamba_d_head", .int(inner / heads), "auto", else: "is not \(inner / heads)")
    let mamba = Mamba2(
      heads: heads, headSize: inner / heads, groups: 1,
      stateSize: try int("mamba_d_state", in: Sizes.head, default: 256),
      taps: try int("mamba_d_conv", in: 2...64, default: 4),
      convolutionBias: try flag("mamba_conv_bias", default: true), stepLimit: try stepLimit())
    return (mamba, kinds.map { $0 == "mamba" || $0 == "linear_attention" })
  }
}
