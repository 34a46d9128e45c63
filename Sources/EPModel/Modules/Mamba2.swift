/// A selective state space (Mamba-2, Dao & Gu 2024) as Nemotron-H uses it. Its recurrence is linear
/// attention whose heads decay by a rate that depends on the token: queries and keys are what the
/// paper calls C and B, values the inputs times the step size.
///
/// Weights: `in_proj` (rows for gate, input, B, C and step size), `conv1d`, `dt_bias`, `A_log`, `D`,
/// `norm`, `out_proj`.
public struct Mamba2: Module {
  var heads: Int
  var headSize: Int
  var groups: Int
  var stateSize: Int
  var taps: Int
  var convolutionBias: Bool
  var stepLimit: ClosedRange<Double>?
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a state space.
  ///
  /// - Parameters:
  ///   - heads: heads; a multiple of `groups`.
  ///   - headSize: elements of a head's input and output.
  ///   - groups: heads that share B and C, and elements normalised together, come in so many.
  ///   - stateSize: elements of B and C.
  ///   - taps: the width of the convolution.
  ///   - convolutionBias: whether the convolution has a bias.
  ///   - stepLimit: what step sizes are cut to, if set.
  public init(
    heads: Int, headSize: Int, groups: Int, stateSize: Int, taps: Int = 4,
    convolutionBias: Bool = true, stepLimit: ClosedRange<Double>? = nil,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.heads = heads
    self.headSize = headSize
    self.groups = groups
    self.stateSize = stateSize
    self.taps = taps
    self.convolutionBias = convolutionBias
    self.stepLimit = stepLimit
    location = SourceLocation(file, line, column)
  }

  private var inner: Int { heads * headSize }
  private var shared: Int { groups * stateSize }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let trace = x.trace
    if groups <= 0 || heads <= 0 || heads % groups != 0 {
      trace.diagnose(
        "attention-heads",
        "\(heads) heads cannot share \(groups) groups evenly; make the first a multiple of the "
          + "second")
      return trace.void
    }
    let head = Axis.heads(heads)
    let value = [head, Axis("value_dim", headSize)]
    let state = [Axis.keyValueHeads(groups), Axis("key_dim", stateSize)]
    let gate = projected(x, "gate", value, from: 0)
    let input = convolved(projected(x, "input", value, from: inner), "input", from: 0)
    let key = convolved(projected(x, "B", state, from: 2 * inner), "B", from: inner)
    let query = convolved(
      projected(x, "C", state, from: 2 * inner + shared), "C", from: inner + shared)
    var step =
      (projected(x, "dt", [head], from: 2 * (inner + shared)) + trace.weight("dt_bias", [head]))
      .softplus()
    if let stepLimit {
      step = step.clamped(low: stepLimit.lowerBound, high: stepLimit.upperBound)
    }
    let read = query.linearAttention(
      key: key, value: input * step, decay: -(step * trace.weight("A_log", [head]).exp()),
      beta: nil, delta: false, scale: 1)
    let output = (read + input * trace.weight("D", [head])) * gate.silu()
    return normalized(output).linear("out_proj", to: [width])
  }

  /// Some rows of `in_proj`.
  private func projected(_ x: Tensor, _ name: String, _ axes: [Axis], from start: Int) -> Tensor {
    x.linear(
      "in_proj[\(name)]", to: axes,
      stored: [
        StoredTensor(
          "in_proj.weight",
          rows: .range(
            start: start, count: TensorType(axes).elementsPerRow,
            total: 2 * (inner + shared) + heads))
      ])
  }

  private func convolved(_ x: Tensor, _ name: String, from start: Int) -> Tensor {
    let channels = Array(x.axes.dropFirst())
    let rows = StoredTensor.Rows.range(
      start: start, count: TensorType(channels).elementsPerRow, total: inner + 2 * shared)
    if x.isVoid { return x }
    let weight = x.trace.weight(
      "conv1d.weight[\(name)]", channels + [Axis("taps", taps)],
      stored: [StoredTensor("conv1d.weight", rows: rows)])
    let bias =
      convolutionBias
      ? x.trace.weight(
        "conv1d.bias[\(name)]", channels, stored: [StoredTensor("conv1d.bias", rows: rows)]) : nil
    return x.shortConvolution(weight, bias: bias, activation: "silu", cacheName: "conv_\(name)")
  }

  /// The gated output, normalised in `groups` parts, with one weight an element.
  private func normalized(_ x: Tensor) -> Tensor {
    if x.isVoid { return x }
    let axes = [
      Axis("groups", groups, split: .tensor), Axis("group_dim", inner / groups),
    ]
    let normed = x.reshaped(["heads", "value_dim"], to: axes)
      .normalized("rms", over: ["group_dim"], epsilon: x.trace.environment.epsilon)
    return normed * x.trace.weight("norm.weight", axes)
  }
}
