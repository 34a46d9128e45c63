/// Softmax attention with query heads that share key and value heads: MHA when there are as many
/// of one as of the other, GQA (Ainslie et al. 2023) or MQA when there are fewer.
///
/// Weights: `q_proj`, `k_proj`, `v_proj` (or one fused tensor), `o_proj`, and as asked for `q_norm`,
/// `k_norm`, `sinks` and `gate_proj`.
public struct MultiHeadAttention: Module {
  /// How queries and keys are normalised before the product.
  public enum QueryKeyNorm: Hashable, Sendable {
    /// Not at all.
    case none
    /// Each head by itself, with one weight for all heads.
    case perHead(unitOffset: Bool = false)
    /// Each head by itself, with one weight for all heads, after the rotation.
    case perHeadAfterRope
    /// All heads together.
    case full
    /// Each head by itself, without a weight, after the rotation.
    case unweightedAfterRope
  }

  /// Where projections have biases.
  public enum Bias: Hashable, Sendable {
    /// Nowhere.
    case none
    /// On queries, keys and values.
    case queryKeyValue
    /// On queries, keys, values and the output.
    case all
  }

  /// How the heads' output is gated before the output projection.
  public enum OutputGate: Hashable, Sendable {
    /// Not at all.
    case none
    /// By a sigmoid of the second half of each head's query projection, as in Qwen3-Next.
    case inQuery
    /// By a sigmoid of a projection of its own, `gate_proj`.
    case projected
  }

  /// How a checkpoint stores the projections to queries, keys and values.
  public enum Storage: Hashable, Sendable {
    /// `q_proj`, `k_proj` and `v_proj`.
    case separate
    /// One tensor of that name: queries of all heads, then keys, then values.
    case fused(String)
  }

  var heads: Int
  var keyValueHeads: Int
  var headSize: Int
  var valueSize: Int
  var rope: RotaryEmbedding?
  var norm: QueryKeyNorm
  var bias: Bias
  var gate: OutputGate
  var window: Int?
  var chunk: Int?
  var sinks: Bool
  var softcap: Double?
  var scale: Double?
  var valueScale: Double
  var temperature: (floor: Double, scale: Double)?
  var clip: Double?
  var storage: Storage
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes an attention.
  ///
  /// - Parameters:
  ///   - heads: query heads.
  ///   - keyValueHeads: key and value heads; as many as query heads unless set.
  ///   - headSize: elements of a query and a key.
  ///   - valueSize: elements of a value; those of a key unless set.
  ///   - rope: the rotation, or nil for none (NoPE).
  ///   - norm: how queries and keys are normalised.
  ///   - bias: where projections have biases.
  ///   - gate: how the output is gated.
  ///   - window: a row sees that many latest tokens, itself counted.
  ///   - chunk: a row sees tokens of its own chunk of that many positions only.
  ///   - sinks: whether each head has a logit that takes part in the softmax without a value.
  ///   - softcap: logits become `softcap * tanh(logits / softcap)`.
  ///   - scale: what logits are multiplied with; `1 / sqrt(headSize)` unless set.
  ///   - valueScale: what values are multiplied with.
  ///   - temperature: Llama 4's scaling of queries by position.
  ///   - clip: queries, keys and values are cut at plus and minus that, before any rotation.
  ///   - storage: how a checkpoint stores the projections.
  public init(
    heads: Int, keyValueHeads: Int? = nil, headSize: Int, valueSize: Int? = nil,
    rope: RotaryEmbedding?, norm: QueryKeyNorm = .none, bias: Bias = .none,
    gate: OutputGate = .none, window: Int? = nil, chunk: Int? = nil, sinks: Bool = false,
    softcap: Double? = nil, scale: Double? = nil, valueScale: Double = 1,
    temperature: (floor: Double, scale: Double)? = nil, clip: Double? = nil,
    storage: Storage = .separate,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.headSize = headSize
    self.valueSize = valueSize ?? headSize
    self.rope = rope
    self.norm = norm
    self.bias = bias
    self.gate = gate
    self.window = window
    self.chunk = chunk
    self.sinks = sinks
    self.softcap = softcap
    self.scale = scale
    self.valueScale = valueScale
    self.temperature = temperature
    self.clip = clip
    self.storage = storage
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let trace = x.trace
    if headSize <= 0 || keyValueHeads <= 0 || heads <= 0 || heads % keyValueHeads != 0 {
      trace.diagnose(
        "attention-heads",
        "\(heads) query heads cannot share \(keyValueHeads) key and value heads evenly; "
          + "make the first a multiple of the second")
      return trace.void
    }
    let keyHeads = Axis.keyValueHeads(keyValueHeads)
    var (query, gating) = self.query(x)
    let keyRows = keyValueHeads * headSize
    var key = projected(x, "k_proj", [keyHeads, Axis("head_dim", headSize)], from: queryRows)
    let value = clipped(
      projected(
        x, "v_proj", [keyHeads, Axis("value_dim", valueSize)], from: queryRows + keyRows)
    ).affine(factor: valueScale)
    (query, key) = prepared(query, key)
    let sinkLogits = sinks ? trace.weight("sinks", [.heads(heads)]) : nil
    var output = query.attention(
      key: key, value: value, scale: scale ?? 1 / Double(headSize).squareRoot(), window: window,
      chunk: chunk, softcap: softcap, sinks: sinkLogits)
    if gate == .projected {
      gating = x.linear("gate_proj", to: [.heads(heads), Axis("value_dim", valueSize)])
    }
    if let gating { output = output * gating.sigmoid() }
    return output.linear("o_proj", to: [width], bias: bias == .all)
  }

  private func query(_ x: Tensor) -> (query: Tensor, gate: Tensor?) {
    let head = Axis.heads(heads)
    guard gate == .inQuery else {
      return (projected(x, "q_proj", [head, Axis("head_dim", headSize)], from: 0), nil)
    }
    let both = projected(x, "q_proj", [head, Axis("head_dim", headSize + valueSize)], from: 0)
    return (
      both.slice("head_dim", from: 0, count: headSize),
      both.slice("head_dim", from: headSize, count: valueSize)
        .reshaped(["head_dim"], to: [Axis("value_dim", valueSize)])
    )
  }

  /// Rows of the query projection, the gate's among them if it stands there.
  private var queryRows: Int { heads * (headSize + (gate == .inQuery ? valueSize : 0)) }

  /// The projection of a name; in a fused tensor, its rows begin at `start`.
  private func projected(_ x: Tensor, _ name: String, _ axes: [Axis], from start: Int) -> Tensor {
    var places: (weight: [StoredTensor], bias: [StoredTensor])?
    if case .fused(let whole) = storage {
      let rows = StoredTensor.Rows.range(
        start: start, count: TensorType(axes).elementsPerRow,
        total: queryRows + keyValueHeads * (headSize + valueSize))
      places = (
        [StoredTensor(whole + ".weight", rows: rows)], [StoredTensor(whole + ".bias", rows: rows)]
      )
    }
    return x.linear(
      name, to: axes, bias: bias != .none, stored: places?.weight, biasStored: places?.bias)
  }

  private func clipped(_ x: Tensor) -> Tensor {
    clip.map { x.clamped(low: -$0, high: $0) } ?? x
  }

  private func prepared(_ query: Tensor, _ key: Tensor) -> (Tensor, Tensor) {
    var (query, key) = (query, key)
    func normalize(_ norm: RMSNorm, over count: Int) {
      query = query.trace.scoped("q_norm") { norm.normalize(query, over: count) }
      key = key.trace.scoped("k_norm") { norm.normalize(key, over: count) }
    }
    switch norm {
    case .perHead(let unitOffset): normalize(RMSNorm(unitOffset: unitOffset), over: 1)
    case .full: normalize(RMSNorm(), over: 2)
    case .none, .perHeadAfterRope, .unweightedAfterRope: break
    }
    (query, key) = (clipped(query), clipped(key))
    if let rope { (query, key) = (query.rotated(by: rope), key.rotated(by: rope)) }
    switch norm {
    case .perHeadAfterRope: normalize(RMSNorm(), over: 1)
    case .unweightedAfterRope: normalize(RMSNorm(weighted: false), over: 1)
    case .none, .perHead, .full: break
    }
    if let temperature {
      query = query.scaledByPosition(floor: temperature.floor, scale: temperature.scale)
    }
    return (query, key)
  }
}
