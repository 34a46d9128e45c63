/// Gated delta-rule linear attention with a short convolution (Yang et al. 2024), as Qwen3-Next
/// and Qwen3.5 use it.
public struct GatedDeltaNet: Module {
  /// How a checkpoint groups the input projections.
  public enum Projections: Hashable, Sendable {
    /// `in_proj_qkvz` and `in_proj_ba`, grouped by key head (Qwen3-Next).
    case groupedByKeyHead
    /// `in_proj_qkv`, `in_proj_z`, `in_proj_b`, `in_proj_a` (Qwen3.5).
    case separate
  }

  var keyHeads: Int
  var valueHeads: Int
  var keySize: Int
  var valueSize: Int
  var taps: Int
  var projections: Projections
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes an attention; `valueHeads` is a multiple of `keyHeads`, `taps` the convolution's width.
  public init(
    keyHeads: Int, valueHeads: Int, keySize: Int, valueSize: Int, taps: Int = 4,
    projections: Projections = .groupedByKeyHead,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.keyHeads = keyHeads
    self.valueHeads = valueHeads
    self.keySize = keySize
    self.valueSize = valueSize
    self.taps = taps
    self.projections = projections
    location = SourceLocation(file, line, column)
  }

  private struct Inputs {
    var query: Tensor
    var key: Tensor
    var value: Tensor
    var gate: Tensor
    var beta: Tensor
    var alpha: Tensor
  }

  private var headAxis: Axis { .heads(valueHeads) }
  private var keyHeadAxis: Axis { .keyValueHeads(keyHeads) }
  private var keyAxis: Axis { Axis("key_dim", keySize) }
  private var valueAxis: Axis { Axis("value_dim", valueSize) }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let trace = x.trace
    if keyHeads <= 0 || valueHeads % keyHeads != 0 {
      trace.diagnose(
        "attention-heads",
        "\(valueHeads) value heads cannot share \(keyHeads) key heads evenly; "
          + "make the first a multiple of the second")
      return trace.void
    }
    let inputs = projections == .groupedByKeyHead ? grouped(x) : separate(x)
    let (keys, values) = (keyHeads * keySize, valueHeads * valueSize)
    func convolved(_ part: Tensor, _ name: String, from start: Int) -> Tensor {
      let channels = Array(part.axes.dropFirst())
      let weight = trace.weight(
        "conv1d.weight[\(name)]", channels + [Axis("taps", taps)],
        stored: [
          StoredTensor(
            "conv1d.weight",
            rows: .range(
              start: start, count: TensorType(channels).elementsPerRow, total: 2 * keys + values))
        ])
      return part.shortConvolution(weight, activation: "silu", cacheName: "conv_\(name)")
    }
    let query = convolved(inputs.query, "query", from: 0)
      .normalized("l2", over: ["key_dim"], epsilon: 1e-6)
    let key = convolved(inputs.key, "key", from: keys)
      .normalized("l2", over: ["key_dim"], epsilon: 1e-6)
    let value = convolved(inputs.value, "value", from: 2 * keys)
    // decay = -exp(A_log) * softplus(a + dt_bias), in logarithms.
    let rate = trace.weight("A_log", [headAxis]).exp()
    let decay = -((inputs.alpha + trace.weight("dt_bias", [headAxis])).softplus() * rate)
    let output = query.linearAttention(
      key: key, value: value, decay: decay, beta: inputs.beta.sigmoid(), delta: true,
      scale: 1 / Double(keySize).squareRoot())
    return (output.through(RMSNorm(), named: "norm") * inputs.gate.silu())
      .linear("out_proj", to: [width])
  }

  private func grouped(_ x: Tensor) -> Inputs {
    let ratio = valueHeads / keyHeads
    let width = 2 * keySize + 2 * ratio * valueSize
    let qkvz = x.linear("in_proj_qkvz", to: [keyHeadAxis, Axis("qkvz", width)])
    let ba = x.linear("in_proj_ba", to: [keyHeadAxis, Axis("ba", 2 * ratio)])
    func part(_ start: Int, _ count: Int, _ axis: Axis) -> Tensor {
      qkvz.slice("qkvz", from: start, count: count).reshaped(["qkvz"], to: [axis])
    }
    func valuePart(_ start: Int) -> Tensor {
      qkvz.slice("qkvz", from: start, count: ratio * valueSize)
        .reshaped(["kv_heads", "qkvz"], to: [headAxis, valueAxis])
    }
    func headPart(_ start: Int) -> Tensor {
      ba.slice("ba", from: start, count: ratio).reshaped(["kv_heads", "ba"], to: [headAxis])
    }
    return Inputs(
      query: part(0, keySize, keyAxis), key: part(keySize, keySize, keyAxis),
      value: valuePart(2 * keySize), gate: valuePart(2 * keySize + ratio * valueSize),
      beta: headPart(0), alpha: headPart(ratio))
  }

  private func separate(_ x: Tensor) -> Inputs {
    let (keys, values) = (keyHeads * keySize, valueHeads * valueSize)
    func part(_ name: String, from start: Int, _ axes: [Axis]) -> Tensor {
      x.linear(
        "in_proj_qkv[\(name)]", to: axes,
        stored: [
          StoredTensor(
            "in_proj_qkv.weight",
            rows: .range(
              start: start, count: TensorType(axes).elementsPerRow, total: 2 * keys + values))
        ])
    }
    return Inputs(
      query: part("query", from: 0, [keyHeadAxis, keyAxis]),
      key: part("key", from: keys, [keyHeadAxis, keyAxis]),
      value: part("value", from: 2 * keys, [headAxis, valueAxis]),
      gate: x.linear("in_proj_z", to: [headAxis, valueAxis]),
      beta: x.linear("in_proj_b", to: [headAxis]), alpha: x.linear("in_proj_a", to: [headAxis]))
  }
}

/// Kimi Delta Attention (Kimi Linear, section 3): the delta rule with a decay for every element of
/// the key.
///
/// Weights: `q_proj`, `k_proj`, `v_proj` with `*_conv1d`, `f_a_proj`, `f_b_proj`, `A_log`,
/// `dt_bias`, `b_proj`, `g_a_proj`, `g_b_proj` (or `g_proj`), `o_norm`, `o_proj`.
public struct KimiDeltaAttention: Module {
  var heads: Int
  var headSize: Int
  var taps: Int
  var fullRankGate: Bool
  var decayLowerBound: Double?
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes an attention.
  ///
  /// - Parameters:
  ///   - heads: heads, for keys and values alike.
  ///   - headSize: elements of a key and of a value.
  ///   - taps: the width of the convolutions.
  ///   - fullRankGate: whether the output gate is one matrix `g_proj`.
  ///   - decayLowerBound: the logarithm of the decay is `bound * sigmoid(...)`, if set.
  public init(
    heads: Int, headSize: Int, taps: Int = 4, fullRankGate: Bool = false,
    decayLowerBound: Double? = nil,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.heads = heads
    self.headSize = headSize
    self.taps = taps
    self.fullRankGate = fullRankGate
    self.decayLowerBound = decayLowerBound
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let trace = x.trace
    let head = Axis.heads(heads)
    let key = Axis("key_dim", headSize)
    let value = Axis("value_dim", headSize)
    let rank = Axis("rank", headSize)
    func convolved(_ name: String, _ axis: Axis) -> Tensor {
      x.linear("\(name)_proj", to: [head, axis]).shortConvolution(
        trace.weight("\(name)_conv1d.weight", [head, axis, Axis("taps", taps)]),
        activation: "silu", cacheName: "conv_\(name)")
    }
    let query = convolved("q", key).normalized("l2", over: ["key_dim"], epsilon: 1e-6)
    let keys = convolved("k", key).normalized("l2", over: ["key_dim"], epsilon: 1e-6)
    let forget =
      x.linear("f_a_proj", to: [rank]).linear("f_b_proj", to: [head, key])
      + trace.weight("dt_bias", [head, key])
    let rate = trace.weight("A_log", [head]).exp()
    let decay =
      decayLowerBound.map { (forget * rate).sigmoid() * $0 } ?? -(forget.softplus() * rate)
    let output = query.linearAttention(
      key: keys, value: convolved("v", value), decay: decay,
      beta: x.linear("b_proj", to: [head]).sigmoid(), delta: true,
      scale: 1 / Double(headSize).squareRoot())
    let gate =
      fullRankGate
      ? x.linear("g_proj", to: [head, value])
      : x.linear("g_a_proj", to: [rank]).linear("g_b_proj", to: [head, value])
    return (output.through(RMSNorm(), named: "o_norm") * gate.sigmoid())
      .linear("o_proj", to: [width])
  }
}

/// Lightning attention (Qin et al. 2024): linear attention whose heads decay at fixed rates, as
/// MiniMax-Text-01 and M1 use it.
///
/// Weights: `qkv_proj`, `output_gate`, `norm`, `out_proj`.
public struct LightningAttention: Module {
  var heads: Int
  var headSize: Int
  var normEpsilon: Double
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes an attention; `normEpsilon` is that of the norm over all heads' outputs, for which
  /// the published models do not take the model's.
  public init(
    heads: Int, headSize: Int, normEpsilon: Double = 1e-6,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.heads = heads
    self.headSize = headSize
    self.normEpsilon = normEpsilon
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let trace = x.trace
    let head = Axis.heads(heads)
    let qkv = x.linear("qkv_proj", to: [head, Axis("qkv", 3 * headSize)]).silu()
    func part(_ index: Int, _ name: String) -> Tensor {
      qkv.slice("qkv", from: index * headSize, count: headSize)
        .reshaped(["qkv"], to: [Axis(name, headSize)])
    }
    // Slopes as in ALiBi, scaled down towards the last layer.
    let last = Double(max(trace.environment.layers - 1, 1))
    let depth = 1 - Double(trace.layer ?? 0) / (last + 1e-5) + 1e-5
    let decay = trace.constant(
      "decay", [head],
      (0..<heads).map { -powerOfTwo(-8 * Double($0 + 1) / Double(heads)) * depth })
    let output = part(0, "key_dim").linearAttention(
      key: part(1, "key_dim"), value: part(2, "value_dim"), decay: decay, beta: nil, delta: false,
      scale: 1)
    let normed = trace.scoped("norm") {
      RMSNorm(epsilon: normEpsilon).normalize(output, over: 2)
    }
    let gate = x.linear("output_gate", to: [head, Axis("value_dim", headSize)]).sigmoid()
    return (gate * normed).linear("out_proj", to: [width])
  }
}
