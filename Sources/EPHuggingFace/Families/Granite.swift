import EPJSON
import EPModel

extension ConfigReader {
  /// Granite 3 MoE: multipliers on embedding, attention, residuals and logits.
  func graniteMoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-6)
    let sizes = try grouped(hidden: decoder.hidden, unshared: true)
    try requireSiLU()
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half).rope,
      bias: try flag("attention_bias", default: false) ? .all : .none,
      scale: try real("attention_multiplier", default: 1))
    let size = try int("intermediate_size", in: Sizes.inner)
    let topK = try int("num_experts_per_tok", in: Sizes.experts)
    let count = try int("num_local_experts", or: "num_experts", in: Sizes.experts)
    let mixture = MixtureOfExperts {
      Router(.softmaxOverSelected, topK: topK)
      RoutedExperts(count, named: "") {
        SwiGLU(
          size, storage: .fused(gateUp: "input_linear.weight", down: "output_linear.weight"))
      }
    }
    .renaming(["block_sparse_moe.gate": "block_sparse_moe.router.layer"])
    .named("block_sparse_moe")
    let residual = try real("residual_multiplier", default: 1)
    let embedding = Embedding(scale: try real("embedding_multiplier", default: 1))
    let logits = try real("logits_scaling", in: 1e-6...1e6, default: 1)
    return decoder.model(embedding: embedding, logitScale: 1 / logits) { _ in
      Block(residual: .preNorm(scale: residual)) {
        attention
      } feedForward: {
        mixture
      }
    }
  }
}
