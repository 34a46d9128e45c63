/// The activation between the two projections of a gated feed-forward.
public struct GatedActivation: Hashable, Sendable {
  /// The function applied to the gate.
  public var function: String
  /// The gate is cut at `limit`, the other half at plus and minus `limit`, if set.
  public var limit: Double?
  /// The gate becomes `gate * sigmoid(slope * gate)`, if set.
  public var slope: Double?
  /// What is added to the other half.
  public var upOffset: Double

  /// Makes an activation.
  public init(
    _ function: String, limit: Double? = nil, slope: Double? = nil, upOffset: Double = 0
  ) {
    self.function = function
    self.limit = limit
    self.slope = slope
    self.upOffset = upOffset
  }
}

/// How a checkpoint stores the three matrices of a gated feed-forward.
public enum GatedStorage: Hashable, Sendable {
  /// `gate_proj`, `up_proj` and `down_proj`; routed experts may also come as the two 3-D tensors
  /// `gate_up_proj` and `down_proj`.
  case separate
  /// Gate and up in one tensor. `transposed` tensors have the contracted dimension first;
  /// `interleaved` ones alternate rows of gate and up.
  case fused(gateUp: String, down: String, transposed: Bool = false, interleaved: Bool = false)
  /// The matrices of all routed experts in three tensors, all `[experts, inner, hidden]`, so that
  /// the last one has the contracted dimension first (DBRX).
  case stacked(gate: String, up: String, down: String)
}

/// A gated feed-forward: `down(activation(gate(x)) * up(x))`.
public struct GatedFeedForward: Module {
  var size: Int
  var activation: GatedActivation
  var bias: Bool
  var storage: GatedStorage
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a feed-forward with an inner size.
  public init(
    _ size: Int, activation: GatedActivation, bias: Bool = false, storage: GatedStorage = .separate,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.size = size
    self.activation = activation
    self.bias = bias
    self.storage = storage
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let inner = x.trace.intermediate(size)
    let places = self.places(inExperts: x.trace.experts != nil)
    let gate = x.linear(
      "gate_proj", to: [inner], bias: bias, stored: places.gate, biasStored: places.gateBias)
    let up = x.linear(
      "up_proj", to: [inner], bias: bias, stored: places.up, biasStored: places.upBias)
    return gate.gating(up, activation).linear(
      "down_proj", to: [width], bias: bias, stored: places.down, biasStored: places.downBias)
  }

  /// The feed-forward that equals `count` of them side by side.
  func widened(by count: Int) -> GatedFeedForward {
    var copy = self
    copy.size = size * count
    return copy
  }

  private struct Places {
    var gate: [StoredTensor]?
    var up: [StoredTensor]?
    var down: [StoredTensor]?
    var gateBias: [StoredTensor]?
    var upBias: [StoredTensor]?
    var downBias: [StoredTensor]?
  }

  private func places(inExperts: Bool) -> Places {
    switch storage {
    case .separate:
      guard inExperts else { return Places() }
      let half: (Int) -> StoredTensor.Rows = {
        .range(start: $0 * self.size, count: self.size, total: 2 * self.size)
      }
      return Places(
        gate: [
          StoredTensor("gate_proj.weight"), StoredTensor("^gate_up_proj", rows: half(0)),
        ],
        up: [StoredTensor("up_proj.weight"), StoredTensor("^gate_up_proj", rows: half(1))],
        down: [StoredTensor("down_proj.weight"), StoredTensor("^down_proj")])
    case .fused(let gateUp, let down, let transposed, let interleaved):
      let level = inExperts ? "^" : ""
      let half: (Int) -> StoredTensor.Rows = {
        interleaved
          ? .interleaved(index: $0, stride: 2)
          : .range(start: $0 * self.size, count: self.size, total: 2 * self.size)
      }
      return Places(
        gate: [StoredTensor(level + gateUp, transposed: transposed, rows: half(0))],
        up: [StoredTensor(level + gateUp, transposed: transposed, rows: half(1))],
        down: [StoredTensor(level + down, transposed: transposed)],
        gateBias: [StoredTensor(level + gateUp + "_bias", rows: half(0))],
        upBias: [StoredTensor(level + gateUp + "_bias", rows: half(1))],
        downBias: [StoredTensor(level + down + "_bias")])
    case .stacked(let gate, let up, let down):
      let level = inExperts ? "^" : ""
      return Places(
        gate: [StoredTensor(level + gate)], up: [StoredTensor(level + up)],
        down: [StoredTensor(level + down, transposed: true)])
    }
  }
}

// swift-format-ignore: AlwaysUseLowerCamelCase
/// A feed-forward gated by `silu` (Shazeer 2020).
///
/// `limit`, `slope` and `upOffset` give gpt-oss' variation: the gate is cut at `limit` and becomes
/// `gate * sigmoid(slope * gate)`, the other half is cut at both sides and offset.
public func SwiGLU(
  _ size: Int, limit: Double? = nil, slope: Double? = nil, upOffset: Double = 0,
  bias: Bool = false, storage: GatedStorage = .separate,
  file: String = #filePath, line: Int = #line, column: Int = #column
) -> GatedFeedForward {
  GatedFeedForward(
    size,
    activation: GatedActivation("silu", limit: limit, slope: slope, upOffset: upOffset),
    bias: bias, storage: storage, file: file, line: line, column: column)
}

// swift-format-ignore: AlwaysUseLowerCamelCase
/// A feed-forward gated by the Gaussian error linear unit; `tanh` takes its approximation.
public func GeGLU(
  _ size: Int, tanh: Bool = false, bias: Bool = false, storage: GatedStorage = .separate,
  file: String = #filePath, line: Int = #line, column: Int = #column
) -> GatedFeedForward {
  GatedFeedForward(
    size, activation: GatedActivation(tanh ? "gelu_tanh" : "gelu"), bias: bias, storage: storage,
    file: file, line: line, column: column)
}

/// A feed-forward without a gate: `down(activation(up(x)))`. Those of routed experts may also come
/// as the two 3-D tensors `up_proj` and `down_proj`.
public struct FeedForward: Module {
  var size: Int
  var activation: String
  var bias: Bool
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a feed-forward with an inner size; see `OpKind.activations` for the names.
  public init(
    _ size: Int, activation: String, bias: Bool = false,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.size = size
    self.activation = activation
    self.bias = bias
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    func places(_ name: String) -> [StoredTensor]? {
      x.trace.experts.map { _ in [StoredTensor(name + ".weight"), StoredTensor("^" + name)] }
    }
    let inner = x.trace.intermediate(size)
    return x.linear("up_proj", to: [inner], bias: bias, stored: places("up_proj"))
      .applying(activation)
      .linear("down_proj", to: [width], bias: bias, stored: places("down_proj"))
  }
}
