/// Root-mean-square normalisation along the last axis (Zhang & Sennrich 2019).
public struct RMSNorm: Module {
  var epsilon: Double?
  var weighted: Bool
  var unitOffset: Bool
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a norm.
  ///
  /// - Parameters:
  ///   - epsilon: added to the mean square; the model's unless set.
  ///   - weighted: whether elements are multiplied by a weight.
  ///   - unitOffset: whether the checkpoint stores the weight less one, as Gemma and Qwen3-Next do.
  public init(
    epsilon: Double? = nil, weighted: Bool = true, unitOffset: Bool = false,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.epsilon = epsilon
    self.weighted = weighted
    self.unitOffset = unitOffset
    location = SourceLocation(file, line, column)
  }

  /// The normalised tensor.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    normalize(x, over: 1)
  }

  /// The tensor normalised along its last `count` axes together.
  func normalize(_ x: Tensor, over count: Int) -> Tensor {
    let axes = Array(x.axes.suffix(count))
    return x.normalized(
      "rms", over: axes.map(\.name), epsilon: epsilon ?? x.trace.environment.epsilon,
      weight: weighted && !x.isVoid ? x.trace.weight("weight", axes) : nil,
      weightOffset: unitOffset ? 1 : 0)
  }
}

/// Layer normalisation along the last axis, with a weight and, as a rule, a bias.
public struct LayerNorm: Module {
  var epsilon: Double?
  var bias: Bool
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a norm; epsilon is the model's unless set.
  public init(
    epsilon: Double? = nil, bias: Bool = true,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.epsilon = epsilon
    self.bias = bias
    location = SourceLocation(file, line, column)
  }

  /// The normalised tensor.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    if x.isVoid { return x }
    let axes = Array(x.axes.suffix(1))
    return x.normalized(
      "layer", over: axes.map(\.name), epsilon: epsilon ?? x.trace.environment.epsilon,
      weight: x.trace.weight("weight", axes), bias: bias ? x.trace.weight("bias", axes) : nil)
  }
}
