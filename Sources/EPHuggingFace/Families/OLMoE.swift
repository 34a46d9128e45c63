import EPJSON
import EPModel

extension ConfigReader {
  /// OLMoE: all heads normalised together, projections that may be clipped.
  func olmoe(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden, unshared: true)
    try requireSiLU()
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half).rope, norm: .full,
      bias: try flag("attention_bias", default: false) ? .all : .none,
      clip: try optionalReal("clip_qkv", in: 1e-6...1e9))
    let router = Router(
      .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts),
      normalized: try flag("norm_topk_prob", default: false))
    let size = try int("intermediate_size", in: Sizes.inner)
    let count = try int("num_experts", or: "num_local_experts", in: Sizes.experts)
    return decoder.model { _ in
      Block {
        attention
      } feedForward: {
        MixtureOfExperts {
          router
          RoutedExperts(count) { SwiGLU(size) }
        }
      }
    }
  }
}
