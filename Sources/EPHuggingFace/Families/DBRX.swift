import EPJSON
import EPModel

extension ConfigReader {
  /// DBRX: fused names of its own, layer norms without bias, clipped projections.
  func dbrx() throws(ImportError) -> Model {
    let names = WeightNames(prefix: "transformer")
    let decoder = try decoder(
      names, epsilon: 1e-5, layersKey: "n_layers", epsilonKey: "layer_norm_eps",
      hiddenKey: "d_model")
    if decoder.tied { throw refusal("tie_word_embeddings", "is not known of this family") }
    guard let attention = try optionalObject("attn_config"),
      let experts = try optionalObject("ffn_config")
    else {
      _ = try reading { () throws(JSONError) in try (node["attn_config"], node["ffn_config"]) }
      throw refusal("attn_config", "is missing")
    }
    attention.ignore("hidden_size")
    experts.ignore("hidden_size", "moe_jitter_eps")
    try experts.require("moe_normalize_expert_weights", 1, else: "is not 1, a sum of weights")
    if let activation = try experts.optionalObject("ffn_act_fn") {
      try activation.requireSiLU("name")
    }
    let heads = try int("n_heads", in: Sizes.heads)
    if decoder.hidden % heads != 0 { throw refusal("n_heads", "does not divide 'd_model'") }
    let size = decoder.hidden / heads
    let rope = try dbrxRope(attention, size: size)
    let inner = try experts.int("ffn_hidden_size", in: Sizes.inner)
    let count = try experts.int("moe_num_experts", in: Sizes.experts)
    let topK = try experts.int("moe_top_k", in: Sizes.experts)
    let clip = try attention.optionalReal("clip_qkv", in: 1e-6...1e9)
    let keyHeads = try attention.int("kv_n_heads", in: Sizes.heads)
    try require("num_key_value_heads", .int(keyHeads), else: "differs from 'attn_config'")
    let norm = LayerNorm(bias: false)
    let block = Block(norm: norm) {
      MultiHeadAttention(
        heads: heads, keyValueHeads: keyHeads, headSize: size, rope: rope, clip: clip,
        storage: .fused("Wqkv"))
    } feedForward: {
      MixtureOfExperts {
        Router(.softmax, topK: topK, normalized: true)
        RoutedExperts(count) {
          SwiGLU(inner, storage: .stacked(gate: "w1", up: "v1", down: "w2"))
        }
      }
    }
    return decoder.model(
      embedding: Embedding().named("wte"), norm: norm.named("norm_f")
    ) { _ in
      block.renaming([
        "layers": "blocks", "input_layernorm": "norm_attn_norm.norm_1",
        "post_attention_layernorm": "norm_attn_norm.norm_2", "self_attn": "norm_attn_norm.attn",
        "o_proj": "out_proj", "mlp.gate": "ffn.router.layer", "mlp.experts": "ffn.experts.mlp",
      ])
    }
  }

  /// The rotation, whose base stands in `attn_config`, or where other families have it.
  private func dbrxRope(
    _ attention: ConfigReader, size: Int
  ) throws(ImportError) -> RotaryEmbedding {
    let own = try attention.optionalReal("rope_theta", in: 1e-3...1e15)
    let rope = try rope(size: size, layout: .half, theta: own).rope
    if let own, own != rope.theta {
      throw attention.refusal("rope_theta", "is ignored by transformers, which takes another one")
    }
    return rope
  }
}
