/// Multi-head latent attention (DeepSeek-V2, section 2.1): keys and values come from a small
/// latent, which is what the cache keeps.
///
/// Weights: `q_a_proj`, `q_a_layernorm`, `q_b_proj` (or `q_proj` without query compression),
/// `kv_a_proj_with_mqa`, `kv_a_layernorm`, `kv_b_proj`, `o_proj`, with a gate `g_proj`.
public struct MultiHeadLatentAttention: Module {
  /// A lightning indexer (DeepSeek-V3.2, section 2.1): each row attends to the tokens it selects.
  ///
  /// Weights, below `indexer`: `wq_b`, `wk`, `k_norm`, `weights_proj`.
  public struct Indexer: Hashable, Sendable {
    /// Heads of the indexer.
    public var heads: Int
    /// Elements of its queries and keys.
    public var headSize: Int
    /// Tokens selected for a row.
    public var topK: Int
    /// The rotation of the leading elements of its queries and keys.
    public var rope: RotaryEmbedding

    /// Makes an indexer.
    public init(heads: Int, headSize: Int, topK: Int, rope: RotaryEmbedding) {
      self.heads = heads
      self.headSize = headSize
      self.topK = topK
      self.rope = rope
    }
  }

  var heads: Int
  var queryRank: Int?
  var keyValueRank: Int
  var nopeSize: Int
  var ropeSize: Int
  var valueSize: Int
  var rope: RotaryEmbedding?
  var scale: Double?
  var latentEpsilon: Double
  var queryScale: Double
  var latentScale: Double
  var bias: Bool
  var outputGate: Bool
  var indexer: Indexer?
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes an attention.
  ///
  /// - Parameters:
  ///   - heads: heads.
  ///   - queryRank: the size queries are compressed to, or nil for no compression.
  ///   - keyValueRank: the size of the latent.
  ///   - nopeSize: elements of a head's key that are not rotated.
  ///   - ropeSize: elements of the rotated key that all heads share.
  ///   - valueSize: elements of a head's value.
  ///   - rope: the rotation, or nil for none.
  ///   - scale: what logits are multiplied with; `1 / sqrt(nopeSize + ropeSize)` unless set.
  ///   - latentEpsilon: the epsilon of the two inner norms.
  ///   - queryScale: what queries are multiplied with, once expanded.
  ///   - latentScale: what the normalised latent is multiplied with.
  ///   - bias: whether the compressing and the output projections have biases.
  ///   - outputGate: whether heads' outputs are gated by a sigmoid of `g_proj`.
  ///   - indexer: what selects the tokens a row attends to.
  public init(
    heads: Int, queryRank: Int?, keyValueRank: Int, nopeSize: Int, ropeSize: Int, valueSize: Int,
    rope: RotaryEmbedding?, scale: Double? = nil, latentEpsilon: Double = 1e-6,
    queryScale: Double = 1, latentScale: Double = 1, bias: Bool = false, outputGate: Bool = false,
    indexer: Indexer? = nil,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.heads = heads
    self.queryRank = queryRank
    self.keyValueRank = keyValueRank
    self.nopeSize = nopeSize
    self.ropeSize = ropeSize
    self.valueSize = valueSize
    self.rope = rope
    self.scale = scale
    self.latentEpsilon = latentEpsilon
    self.queryScale = queryScale
    self.latentScale = latentScale
    self.bias = bias
    self.outputGate = outputGate
    self.indexer = indexer
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let headAxis = Axis.heads(heads)
    let compressed = queryRank.map { rank in
      x.linear("q_a_proj", to: [Axis("q_rank", rank)], bias: bias)
        .through(RMSNorm(epsilon: latentEpsilon), named: "q_a_layernorm")
    }
    let query = (compressed ?? x)
      .linear(
        compressed == nil ? "q_proj" : "q_b_proj",
        to: [headAxis, Axis("head_dim", nopeSize + ropeSize)]
      )
      .affine(factor: queryScale)
    let down = x.linear(
      "kv_a_proj_with_mqa", to: [Axis("latent", keyValueRank + ropeSize)], bias: bias)
    let latent = down.slice("latent", from: 0, count: keyValueRank)
      .through(RMSNorm(epsilon: latentEpsilon), named: "kv_a_layernorm")
      .affine(factor: latentScale)
    var queryRope = query.slice("head_dim", from: nopeSize, count: ropeSize)
    var keyRope = down.slice("latent", from: keyValueRank, count: ropeSize)
    if let rope { (queryRope, keyRope) = (queryRope.rotated(by: rope), keyRope.rotated(by: rope)) }
    let up = x.trace.weight(
      "kv_b_proj.weight",
      [headAxis, Axis("kv_dim", nopeSize + valueSize), Axis("latent", keyValueRank)], role: .linear)
    var output = query.slice("head_dim", from: 0, count: nopeSize).latentAttention(
      queryRope: queryRope, latent: latent, keyRope: keyRope, up: up, valueSize: valueSize,
      scale: scale ?? 1 / Double(nopeSize + ropeSize).squareRoot(),
      selection: indexer.map { selection(by: $0, of: x, query: compressed ?? x) })
    if outputGate {
      output = output * x.linear("g_proj", to: [headAxis, Axis("value_dim", valueSize)]).sigmoid()
    }
    return output.linear("o_proj", to: [width], bias: bias)
  }

  private func selection(by indexer: Indexer, of x: Tensor, query: Tensor) -> Tensor {
    x.trace.scoped("indexer") {
      let heads = Axis("index_heads", indexer.heads)
      let size = Axis("index_dim", indexer.headSize)
      let q = query.linear("wq_b", to: [heads, size]).rotated(by: indexer.rope)
      let k = x.linear("wk", to: [size]).through(LayerNorm(epsilon: 1e-6), named: "k_norm")
        .rotated(by: indexer.rope)
      let weights = x.linear("weights_proj", to: [heads])
        .affine(factor: 1 / Double(indexer.heads).squareRoot())
      return q.indexed(
        key: k, headWeights: weights, topK: indexer.topK,
        scale: 1 / Double(indexer.headSize).squareRoot())
    }
  }
}
