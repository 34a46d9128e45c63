import EPJSON
import EPModel

/// The sizes of attention whose query heads share key and value heads.
struct GroupedFields {
  var heads: Int
  var keyValueHeads: Int
  var headSize: Int
}

extension ConfigReader {
  /// Reads the sizes of grouped-query attention.
  ///
  /// - Parameters:
  ///   - unshared: whether a config without `num_key_value_heads` means one for each query head;
  ///     required unless so.
  ///   - derived: whether one without `head_dim` means the hidden size over the heads; the same.
  func grouped(
    hidden: Int, unshared: Bool = false, derived: Bool = true
  ) throws(ImportError) -> GroupedFields {
    let heads = try int("num_attention_heads", in: Sizes.heads)
    return GroupedFields(
      heads: heads,
      keyValueHeads: try int(
        "num_key_value_heads", in: Sizes.heads, default: unshared ? heads : nil),
      headSize: try derived
        ? headSize(hidden: hidden, heads: heads) : int("head_dim", in: Sizes.head))
  }

  /// Mixtral's feed-forward under the names its checkpoints have; `gate` renames the router's.
  func mixtralMixture(
    _ router: Router, gate: KeyValuePairs<String, String> = [:]
  ) throws(ImportError) -> any Module {
    try requireSiLU()
    ignore("router_jitter_noise")
    let size = try int("intermediate_size", in: Sizes.inner)
    let count = try int("num_local_experts", or: "num_experts", in: Sizes.experts)
    return MixtureOfExperts {
      router
      RoutedExperts(count) { SwiGLU(size) }
    }
    .renaming(["gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"])
    .renaming(gate)
    .named("block_sparse_moe")
  }

  /// Mixtral.
  func mixtral(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden)
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half, theta: 1e6).rope,
      window: try optionalInt("sliding_window", in: Sizes.tokens))
    let mixture = try mixtralMixture(
      Router(
        .softmax, topK: try int("num_experts_per_tok", in: Sizes.experts), normalized: true))
    return decoder.model { _ in
      Block {
        attention
      } feedForward: {
        mixture
      }
    }
  }

  /// Phi-3.5-MoE: Mixtral with layer norms, biases and SparseMixer's two experts.
  func phiMoE(_ names: WeightNames) throws(ImportError) -> Model {
    let decoder = try decoder(names, epsilon: 1e-5)
    let sizes = try grouped(hidden: decoder.hidden)
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      rope: try rope(size: sizes.headSize, layout: .half, theta: 1e6).rope,
      bias: try flag("attention_bias", default: false) ? .all : .none,
      window: try optionalInt("sliding_window", in: Sizes.tokens))
    let jitter = try real("router_jitter_noise", in: 0...1, default: 0.01)
    ignore("input_jitter_noise")
    try require("num_experts_per_tok", 2, else: "is not 2, which is what SparseMixer selects")
    let mixture = try mixtralMixture(Router(.sparseMixer(jitter: jitter), topK: 2))
    return decoder.model(
      norm: LayerNorm(), headBias: try flag("lm_head_bias", default: false)
    ) { _ in
      Block(norm: LayerNorm()) {
        attention
      } feedForward: {
        mixture
      }
    }
  }
}
