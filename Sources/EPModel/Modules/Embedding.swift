/// The token table.
public struct Embedding: Module {
  var scale: Double
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a table; rows are multiplied by `scale`.
  public init(
    scale: Double = 1, file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.scale = scale
    location = SourceLocation(file, line, column)
  }

  /// The rows of the table for token ids.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let trace = x.trace
    let axes = [
      Axis.vocabulary(trace.environment.vocabulary), Axis.hidden(trace.environment.hidden),
    ]
    return x.embedded(in: trace.weight("weight", axes, role: .embedding)).affine(factor: scale)
  }
}

/// The projection to a logit for every token of the vocabulary.
public struct LanguageModelHead: Module {
  var tied: Bool
  var bias: Bool
  var scale: Double
  var softcap: Double?
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a head.
  ///
  /// - Parameters:
  ///   - tied: whether it uses the embedding's table.
  ///   - scale: what logits are multiplied with.
  ///   - softcap: logits become `softcap * tanh(logits / softcap)`.
  public init(
    tied: Bool = false, bias: Bool = false, scale: Double = 1, softcap: Double? = nil,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.tied = tied
    self.bias = bias
    self.scale = scale
    self.softcap = softcap
    location = SourceLocation(file, line, column)
  }

  /// Logits `[tokens, vocabulary]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let trace = x.trace
    let vocabulary = Axis.vocabulary(trace.environment.vocabulary)
    let hidden = Axis.hidden(trace.environment.hidden)
    let name = trace.environment.head
    let weight =
      tied
      ? trace.weight("embed_tokens.weight", [vocabulary, hidden], role: .embedding)
      : trace.weight(absolute: "\(name).weight", [vocabulary, hidden], role: .embedding)
    let offset = bias ? trace.weight(absolute: "\(name).bias", [vocabulary], role: .vector) : nil
    let logits = x.product(weight, contracted: ["hidden"], bias: offset).affine(factor: scale)
    guard let softcap else { return logits }
    return logits.affine(factor: 1 / softcap).applying("tanh").affine(factor: softcap)
  }
}
