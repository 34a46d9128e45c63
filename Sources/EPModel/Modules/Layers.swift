/// Decoder layers with the given numbers.
///
/// ```swift
/// Layers(0..<3) { Block { attention } feedForward: { SwiGLU(18_432) } }
/// Layers(3..<61) { Block { attention } feedForward: { mixture } }
/// Layers(0..<48) { layer in
///   Block { if layer % 4 == 3 { softmax } else { linear } } feedForward: { mixture }
/// }
/// ```
///
/// Layers run in the order of their numbers, whichever order they are declared in; together they
/// number every layer of the model once.
public struct Layers {
  var numbers: [Int]
  var body: (Int) -> [any Module]
  /// Where they stand.
  public var location: SourceLocation?

  /// Makes layers that may differ by their number.
  public init(
    _ numbers: some Sequence<Int>,
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder _ body: @escaping (Int) -> [any Module]
  ) {
    self.numbers = Array(numbers.prefix(ModelTracer.mostLayers + 1))
    self.body = body
    location = SourceLocation(file, line, column)
  }

  /// Makes layers that are all alike.
  public init(
    _ numbers: some Sequence<Int>,
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder _ body: @escaping () -> [any Module]
  ) {
    self.init(numbers, file: file, line: line, column: column) { (_: Int) in body() }
  }
}

/// Multi-token prediction (DeepSeek-V3, section 2.2): depths that each predict one token further,
/// sharing embedding and head with the model.
///
/// A depth computes `block(eh_proj(concat(enorm(embedding of the next token), hnorm(hidden))))`
/// and reads its logits after `shared_head.norm`. Its weights stand under the layer after the
/// last, the next depth's under the one after that.
public struct MultiTokenPrediction {
  var depth: Int
  var norm: any Module
  var tied: Bool
  var body: [any Module]
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes depths with the given block.
  ///
  /// - Parameters:
  ///   - depth: how many tokens ahead of the next one are predicted.
  ///   - norm: the kind of norm used around the block.
  ///   - tied: whether the head uses the embedding's table.
  ///   - block: the decoder layer of a depth.
  public init(
    depth: Int = 1, norm: any Module = RMSNorm(), tied: Bool = false,
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder _ block: () -> [any Module]
  ) {
    self.depth = depth
    self.norm = norm
    self.tied = tied
    self.body = block()
    location = SourceLocation(file, line, column)
  }

  func callAsFunction(_ hidden: Tensor) -> (hidden: Tensor, logits: Tensor) {
    let trace = hidden.trace
    guard let width = hidden.axes.last else { return (hidden, hidden) }
    let table = trace.weight(
      absolute: trace.path[0..<(trace.root - 2)].joined(separator: ".") + ".embed_tokens.weight",
      [.vocabulary(trace.environment.vocabulary), .hidden(trace.environment.hidden)],
      role: .embedding)
    let next = trace.ids.embedded(in: table).through(norm, named: "enorm")
    let joint = next.concatenated(with: [hidden.through(norm, named: "hnorm")], along: "hidden")
      .reshaped(["hidden"], to: [Axis("joint", 2 * trace.environment.hidden)])
      .linear("eh_proj", to: [width])
    let output = body.reduce(joint) { $0.through($1, named: "") }
      .through(norm, named: "shared_head.norm")
    let head =
      tied
      ? table
      : trace.weight(
        absolute: trace.environment.head + ".weight",
        [.vocabulary(trace.environment.vocabulary), .hidden(trace.environment.hidden)],
        role: .embedding)
    return (output, output.product(head, contracted: ["hidden"]))
  }
}
