import EPJSON
import EPModel

extension ConfigReader {
  /// Nemotron 3: layers of one mixer each - a state space, attention without positions, or experts
  /// that work on a latent.
  func nemotronH() throws(ImportError) -> Model {
    let kinds = try mixers()
    let names = WeightNames(prefix: "backbone")
    var decoder = try decoder(
      names, epsilon: 1e-5, layers: kinds.count, epsilonKey: "layer_norm_epsilon")
    // 'tie_word_embeddings' is ignored by transformers: the head is a tensor of its own.
    decoder.tied = false
    try require("norm_eps", .double(decoder.epsilon), else: "differs from 'layer_norm_epsilon'")
    try require("num_hidden_layers", .int(kinds.count), else: "is not the number of mixers")
    for key in ["attention_bias", "mlp_bias", "use_bias", "mamba_proj_bias", "residual_in_fp32"] {
      try require(key, false, else: "cannot be expressed yet")
    }
    try require("sliding_window", else: "is ignored by transformers")
    try leaveOutDrafts("num_nextn_predict_layers")
    ignore("mtp_hybrid_override_pattern", "mtp_layers_block_type")
    // Attention has no positions; the rest initialises, or sizes pieces of work.
    ignore("rope_theta", "partial_rotary_factor", "rope_scaling", "rope_parameters")
    ignore("expand", "chunk_size", "time_step_min", "time_step_max", "time_step_floor")
    let sizes = try grouped(hidden: decoder.hidden, derived: false)
    let attention = MultiHeadAttention(
      heads: sizes.heads, keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize, rope: nil)
    let mamba = try stateSpace()
    try require("mlp_hidden_act", "relu2", else: "is not \"relu2\"")
    let mixture = try latentMixture()
    let dense = FeedForward(
      try int("intermediate_size", in: Sizes.inner), activation: "relu2")
    return decoder.model(
      embedding: Embedding().named("embeddings"), norm: RMSNorm().named("norm_f"),
      ignoring: ["mtp.*"]
    ) { layer in
      let mixer: any Module =
        switch kinds[layer] {
        case .stateSpace: mamba
        case .attention: attention
        case .mixture: mixture
        case .dense: dense
        }
      Block {
        mixer
      } feedForward: {
      }
      .renaming(["input_layernorm": "norm", "self_attn": "mixer"])
    }
  }

  private enum Mixer {
    case stateSpace, attention, mixture, dense
  }

  /// The mixer of each layer, from a list of names or a pattern of letters.
  private func mixers() throws(ImportError) -> [Mixer] {
    let byName: [String: Mixer] = [
      "mamba": .stateSpace, "linear_attention": .stateSpace, "attention": .attention,
      "full_attention": .attention, "moe": .mixture, "mlp": .dense, "M": .stateSpace,
      "*": .attention, "E": .mixture, "-": .dense,
    ]
    var key = "layers_block_type"
    var names = try optionalTexts(key)
    if names == nil, let types = try optionalTexts("layer_types") {
      (key, names) = ("layer_types", types)
    }
    if let pattern = try optionalText("hybrid_override_pattern"), names == nil {
      (key, names) = ("hybrid_override_pattern", pattern.map(String.init))
    }
    guard let names else {
      throw .document(node.fail("the key 'layers_block_type' is required"))
    }
    var mixers: [Mixer] = []
    for name in names {
      guard let mixer = byName[name] else {
        throw refusal(key, "has the kind \(JSONValue.string(name).brief), which is not known")
      }
      mixers.append(mixer)
    }
    if !Sizes.layers.contains(mixers.count) {
      throw refusal(key, "has \(mixers.count) layers; 1 to \(Sizes.layers.upperBound) are possible")
    }
    return mixers
  }

  private func stateSpace() throws(ImportError) -> Mamba2 {
    try requireSiLU("mamba_hidden_act")
    return Mamba2(
      heads: try int("mamba_num_heads", in: Sizes.heads),
      headSize: try int("mamba_head_dim", in: Sizes.head),
      groups: try int("n_groups", in: Sizes.heads),
      stateSize: try int("ssm_state_size", in: Sizes.head),
      taps: try int("conv_kernel", in: 2...64),
      convolutionBias: try flag("use_conv_bias", default: true), stepLimit: try stepLimit())
  }

  /// What step sizes of a state space are cut to, if anything.
  func stepLimit() throws(ImportError) -> ClosedRange<Double>? {
    guard let bounds = try optional("time_step_limit") else { return nil }
    let both = try reading { () throws(JSONError) in
      var numbers: [Double] = []
      for bound in try bounds.array(maxCount: 2) { numbers.append(try Self.number(bound)) }
      return numbers
    }
    guard both.count == 2, both[0] <= both[1] else {
      throw refusal("time_step_limit", "is no pair of ascending numbers")
    }
    // Step sizes are positive, and nothing reaches what stands for infinity.
    return both[0] > 0 || both[1] < 1e30 ? both[0]...both[1] : nil
  }

  /// A number; transformers 5 writes infinity as `{"__float__": "Infinity"}`.
  private static func number(_ node: JSONNode) throws(JSONError) -> Double {
    guard case .object = node.value else { return try node.double() }
    let text = try node["__float__"]
    guard try text.string() == "Infinity" else { throw text.fail("expected \"Infinity\"") }
    return .greatestFiniteMagnitude
  }

  private func latentMixture() throws(ImportError) -> any Module {
    try require("n_shared_experts", 1, else: "is not 1; transformers ignores it")
    let router = try sigmoidRouter(scale: 1, groups: 1)
    let size = try int("moe_intermediate_size", in: Sizes.inner)
    let shared = try int("moe_shared_expert_intermediate_size", in: Sizes.inner)
    let count = try int("n_routed_experts", or: "num_local_experts", in: Sizes.experts)
    let latent = try optionalInt("moe_latent_size", in: Sizes.hidden)
    return MixtureOfExperts {
      router
      SharedExperts { FeedForward(shared, activation: "relu2") }
      RoutedExperts(count, latent: latent) { FeedForward(size, activation: "relu2") }
    }
    .renaming(["latent_in": "fc1_latent_proj", "latent_out": "fc2_latent_proj"])
  }
}
