// Operations that mix tokens, and those that send them to experts.
extension Tensor {
  /// Rotates the leading elements of the last axis by the row's position.
  public func rotated(by rope: RotaryEmbedding) -> Tensor {
    let size = axes.last?.size ?? 1
    return trace.append(.rope, [("x", self)], rope.attributes(size: size))[0]
  }

  /// Scaled dot-product attention over this step's and all cached keys and values.
  ///
  /// - Parameters:
  ///   - key: `[tokens, kv_heads, dim]`; query heads share key heads in equal groups.
  ///   - value: `[tokens, kv_heads, value dim]`.
  ///   - window: how many of the latest tokens a row sees, or nil for all before it.
  ///   - chunk: rows see only tokens of their own chunk of that many positions.
  ///   - sinks: a logit for each head that takes part in the softmax and carries no value.
  ///   - selection: positions an indexer chose; others are not seen.
  public func attention(
    key: Tensor, value: Tensor, scale: Double, window: Int? = nil, chunk: Int? = nil,
    softcap: Double? = nil, sinks: Tensor? = nil, selection: Tensor? = nil
  ) -> Tensor {
    if isVoid || key.isVoid || value.isVoid { return trace.void }
    let cache = trace.cache(
      .keyValue, "kv", [Array(key.axes.dropFirst()), Array(value.axes.dropFirst())],
      window: window ?? chunk)
    return trace.append(
      .attention,
      [
        ("query", self), ("key", key), ("value", value), ("sinks", sinks),
        ("selection", selection),
      ], cache: cache,
      Attributes([
        "scale": .real(scale), "window": window.map(Attribute.int),
        "chunk": chunk.map(Attribute.int), "softcap": softcap.map(Attribute.real),
      ]))[0]
  }

  /// Attention over a compressed latent (MLA, DeepSeek-V2 section 2.1).
  ///
  /// - Parameters:
  ///   - queryRope: `[tokens, heads, rope dim]`, already rotated.
  ///   - latent: `[tokens, rank]`, what is cached beside `keyRope`.
  ///   - keyRope: `[tokens, rope dim]`, already rotated, shared by all heads.
  ///   - up: the weight `[heads, nope dim + value size, rank]` that makes keys and values.
  public func latentAttention(
    queryRope: Tensor, latent: Tensor, keyRope: Tensor, up: Tensor, valueSize: Int, scale: Double,
    selection: Tensor? = nil
  ) -> Tensor {
    if isVoid || latent.isVoid || keyRope.isVoid { return trace.void }
    let cache = trace.cache(
      .latent, "latent", [Array(latent.axes.dropFirst()), Array(keyRope.axes.dropFirst())])
    return trace.append(
      .latentAttention,
      [
        ("query", self), ("query_rope", queryRope), ("latent", latent), ("key_rope", keyRope),
        ("kv_up", up), ("selection", selection),
      ], cache: cache,
      Attributes(["scale": .real(scale), "value_size": .int(valueSize)]))[0]
  }

  /// The positions that a sparse-attention indexer selects (DeepSeek-V3.2 section 2): the `topK`
  /// largest of `sum over heads of weight * relu(scale * query . key)`.
  public func indexed(key: Tensor, headWeights: Tensor, topK: Int, scale: Double) -> Tensor {
    if isVoid || key.isVoid { return trace.void }
    let cache = trace.cache(.indexKey, "index", [Array(key.axes.dropFirst())])
    return trace.append(
      .index, [("query", self), ("key", key), ("head_weights", headWeights)], cache: cache,
      Attributes(["top_k": .int(topK), "scale": .real(scale)]))[0]
  }

  /// A causal convolution along the tokens of a sequence, each channel by itself.
  public func shortConvolution(
    _ weight: Tensor, bias: Tensor? = nil, activation: String, cacheName: String = "conv"
  ) -> Tensor {
    if isVoid || weight.isVoid { return trace.void }
    let taps = weight.axes.last?.size ?? 1
    let cache = trace.cache(
      .convolution, cacheName, [Array(axes.dropFirst()) + [Axis("taps", taps - 1)]])
    return trace.append(
      .shortConvolution, [("x", self), ("weight", weight), ("bias", bias)], cache: cache,
      Attributes(["activation": .text(activation)]))[0]
  }

  /// Linear attention with a decaying matrix state `S[heads, key dim, value dim]`.
  ///
  /// Each token does `S *= exp(decay)`, then `S += key x (beta * (value - key . S))` under the
  /// delta rule or `S += key x value` without it, and reads `scale * query . S`.
  public func linearAttention(
    key: Tensor, value: Tensor, decay: Tensor?, beta: Tensor?, delta: Bool, scale: Double
  ) -> Tensor {
    if isVoid || key.isVoid || value.isVoid { return trace.void }
    let state = [value.axes[1], key.axes[2].renamedForState, value.axes[2]]
    let cache = trace.cache(.recurrent, "state", [state])
    return trace.append(
      .linearAttention,
      [("query", self), ("key", key), ("value", value), ("decay", decay), ("beta", beta)],
      cache: cache,
      Attributes(["rule": .text(delta ? "delta" : "sum"), "scale": .real(scale)]))[0]
  }

  /// The rows that go to experts, each token once for each expert it is routed to.
  ///
  /// With `weights` given, rows are multiplied by them on the way, as Llama 4 does.
  public func dispatched(to routes: Routes, experts: Int, weighted: Bool = false) -> Tensor {
    trace.append(
      .dispatch,
      [("x", self), ("indices", routes.indices), ("weights", weighted ? routes.weights : nil)],
      Attributes(["experts": .int(experts)]))[0]
  }

  /// The weighted sum of what experts made of each token; identity experts return `identity`.
  public func combined(
    by routes: Routes, experts: Int, identity: Tensor? = nil, unweighted: Bool = false
  ) -> Tensor {
    trace.append(
      .combine,
      [
        ("x", self), ("indices", routes.indices), ("weights", routes.weights),
        ("identity", identity),
      ],
      Attributes(["experts": .int(experts), "unweighted": unweighted ? true : nil]))[0]
  }

  /// The gate `silu(self) * up`, or another activation and the variations of gpt-oss.
  public func gating(_ up: Tensor, _ activation: GatedActivation) -> Tensor {
    trace.append(
      .glu, [("gate", self), ("up", up)],
      Attributes([
        "activation": .text(activation.function), "limit": activation.limit.map(Attribute.real),
        "slope": activation.slope.map(Attribute.real),
        "up_offset": activation.upOffset == 0 ? nil : .real(activation.upOffset),
      ]))[0]
  }
}

/// Which experts each token goes to, and with which weights: `[tokens, top_k]` each.
public struct Routes {
  /// Expert indices, -1 for none.
  public var indices: Tensor
  /// What each expert's output is multiplied with.
  public var weights: Tensor

  /// Makes routes from the two values a router defines.
  public init(indices: Tensor, weights: Tensor) {
    self.indices = indices
    self.weights = weights
  }
}
