import EPJSON
import EPModel

/// What checkpoint names of a model begin with, and which tensors are passed over.
struct WeightNames {
  var prefix = "model"
  var head = "lm_head"
  /// Tensors that may be there and are not read.
  var ignored = ["*.rotary_emb.inv_freq"]
}

/// What every decoder's config has.
struct DecoderFields {
  var name: String
  var vocabulary: Int
  var hidden: Int
  var layers: Int
  var epsilon: Double
  var tied: Bool
  var precision: Precision
  var names: WeightNames

  /// A model of these fields.
  ///
  /// - Parameters:
  ///   - embedding: the token table.
  ///   - norm: the norm before the head.
  ///   - ignoring: further checkpoint tensors that are not read.
  ///   - drafts: the MTP depths.
  ///   - layer: the layer of a number.
  func model(
    embedding: any Module = Embedding(), norm: any Module = RMSNorm(), headBias: Bool = false,
    logitScale: Double = 1, ignoring: [String] = [], drafts: MultiTokenPrediction? = nil,
    @ModuleBuilder layer: @escaping (Int) -> [any Module]
  ) -> Model {
    var model = Model(
      name, vocabulary: vocabulary, hidden: hidden, epsilon: epsilon, precision: precision,
      prefix: names.prefix, head: names.head, ignoring: names.ignored + ignoring
    ) {
      embedding
      Layers(0..<layers) { (number: Int) in layer(number) }
      norm
      LanguageModelHead(tied: tied, bias: headBias, scale: logitScale)
      if let drafts { drafts }
    }
    model.location = nil
    return model
  }
}

extension ConfigReader {
  /// Reads what every decoder's config has.
  ///
  /// - Parameters:
  ///   - epsilon: what transformers takes where the config has none.
  ///   - tied: the same, for a head that uses the token table.
  func decoder(
    _ names: WeightNames, epsilon: Double, tied: Bool = false, layers: Int? = nil,
    layersKey: String = "num_hidden_layers", epsilonKey: String = "rms_norm_eps",
    hiddenKey: String = "hidden_size"
  ) throws(ImportError) -> DecoderFields {
    let outerTied = try outer?.flag("tie_word_embeddings", default: tied)
    var count = layers ?? 0
    if layers == nil { count = try int(layersKey, in: Sizes.layers) }
    return DecoderFields(
      name: modelName, vocabulary: try int("vocab_size", in: Sizes.vocabulary),
      hidden: try int(hiddenKey, in: Sizes.hidden),
      layers: count,
      epsilon: try optionalReal(epsilonKey, in: 0...1) ?? epsilon,
      tied: try flag("tie_word_embeddings", default: outerTied ?? tied),
      precision: try precision(), names: names)
  }

  /// Refuses any activation but SiLU.
  func requireSiLU(_ key: String = "hidden_act") throws(ImportError) {
    try require(key, "silu", "swish", else: "is not \"silu\", the only activation known here")
  }

  /// Elements of a head: `head_dim`, else the hidden size over the heads.
  func headSize(hidden: Int, heads: Int) throws(ImportError) -> Int {
    if let size = try optionalInt("head_dim", in: Sizes.head) { return size }
    if hidden % heads != 0 {
      throw refusal("num_attention_heads", "does not divide the hidden size \(hidden)")
    }
    return hidden / heads
  }

  /// A kind for every layer, from a list or else by number.
  func kinds(
    _ key: String, layers: Int, of allowed: [String], default fallback: (Int) -> String
  ) throws(ImportError) -> [String] {
    guard let kinds = try optionalTexts(key) else { return (0..<layers).map(fallback) }
    if kinds.count != layers {
      throw refusal(key, "has \(kinds.count) elements for \(layers) layers")
    }
    if let other = kinds.first(where: { !allowed.contains($0) }) {
      throw refusal(key, "has the kind \(JSONValue.string(other).brief), which is not known here")
    }
    return kinds
  }

  /// Which layers have experts: `mlp_layer_types`, else all from `first_k_dense_replace` on.
  func sparseLayers(_ layers: Int, firstDense: Int? = nil) throws(ImportError) -> [Bool] {
    let count = 0...Sizes.layers.upperBound
    let first = try optionalInt("first_k_dense_replace", in: count)
    if try optional("mlp_layer_types") == nil {
      let dense = try int("first_k_dense_replace", in: count, default: firstDense)
      return (0..<layers).map { $0 >= dense }
    }
    let kinds = try kinds(
      "mlp_layer_types", layers: layers, of: ["dense", "sparse"], default: { _ in "sparse" })
    let sparse = kinds.map { $0 == "sparse" }
    if let first, sparse != (0..<layers).map({ $0 >= first }) {
      throw refusal("first_k_dense_replace", "does not go with 'mlp_layer_types'")
    }
    return sparse
  }

  /// The limit to the best groups of experts, unless all of them may be used; `groups` is how many
  /// there are where the config has no `n_group`, which is required without.
  func groupLimit(_ score: GroupLimit.Score, groups: Int?) throws(ImportError) -> GroupLimit? {
    let count = try int("n_group", in: Sizes.experts, default: groups)
    if count == 1 {
      ignore("topk_group")
      return nil
    }
    let kept = try int("topk_group", in: 1...count)
    return kept == count ? nil : GroupLimit(count, kept: kept, score: score)
  }

  /// The router of DeepSeek-V3: sigmoid scores, a correction bias for the selection, a scale.
  ///
  /// - Parameters:
  ///   - normalized: what `norm_topk_prob` is where the config has none.
  ///   - scale: the same for `routed_scaling_factor`; required without.
  ///   - groups: the same for `n_group`.
  func sigmoidRouter(
    normalized: Bool = true, scale: Double? = nil, groups: Int? = nil
  ) throws(ImportError) -> Router {
    try require("scoring_func", "sigmoid", else: "is not \"sigmoid\"")
    try require("topk_method", "noaux_tc", else: "is not \"noaux_tc\"")
    let normalized = try flag("norm_topk_prob", default: normalized)
    return Router(
      .sigmoid, topK: try int("num_experts_per_tok", in: Sizes.experts), correctionBias: true,
      normalized: normalized, normalizeEpsilon: normalized ? 1e-20 : 0,
      scale: try real("routed_scaling_factor", default: scale),
      limit: try groupLimit(.topTwoSum, groups: groups))
  }

  /// MTP depths with a block of the model's own kind, as DeepSeek-V3 stores them: as further
  /// layers, with copies of the token table and the head that are passed over.
  func drafts(
    _ decoder: inout DecoderFields, @ModuleBuilder block: () -> [any Module]
  ) throws(ImportError) -> MultiTokenPrediction? {
    let other = try optionalInt("num_mtp_layers", in: 0...64)
    let depth = try optionalInt("num_nextn_predict_layers", in: 0...64) ?? other ?? 0
    if depth == 0 { return nil }
    for layer in decoder.layers..<(decoder.layers + depth) {
      let path = "\(decoder.names.prefix).layers.\(layer)"
      decoder.names.ignored += [
        "\(path).embed_tokens.weight", "\(path).shared_head.head.weight",
      ]
    }
    return MultiTokenPrediction(depth: depth, tied: decoder.tied) { block() }
  }

  /// Leaves MTP depths out that a config declares, and says so.
  func leaveOutDrafts(_ keys: String...) throws(ImportError) {
    for key in keys {
      guard let depth = try optionalInt(key, in: 0...64), depth > 0 else { continue }
      note("multi-token prediction ('\(key)' = \(depth)) is left out")
    }
  }
}
