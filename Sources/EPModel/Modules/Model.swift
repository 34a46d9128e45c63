/// A language model: embedding, layers, norm, head, and MTP depths if it has any.
///
/// A model file declares one at top level under the name `model`.
public struct Model {
  /// A part of a model.
  public enum Part {
    /// A module outside the layers.
    case module(any Module)
    /// Decoder layers.
    case layers(Layers)
    /// MTP depths.
    case draft(MultiTokenPrediction)
  }

  /// The name.
  public var name: String
  var vocabulary: Int
  var hidden: Int
  var epsilon: Double
  var precision: Precision
  var prefix: String
  var head: String
  var ignored: [String]
  var parts: [Part]
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a model.
  ///
  /// - Parameters:
  ///   - name: what the model is called.
  ///   - vocabulary: tokens in the vocabulary.
  ///   - hidden: the hidden size.
  ///   - epsilon: the epsilon of norms that do not set their own.
  ///   - precision: how weights are kept in memory.
  ///   - prefix: what checkpoint names of all weights but the head's begin with.
  ///   - head: what checkpoint names of the head's weights begin with.
  ///   - ignoring: checkpoint tensors that may be there and are not read, `*` for any text.
  public init(
    _ name: String, vocabulary: Int, hidden: Int, epsilon: Double = 1e-6,
    precision: Precision = .bf16, prefix: String = "model", head: String = "lm_head",
    ignoring: [String] = [],
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModelBuilder _ parts: () -> [Part]
  ) {
    self.name = name
    self.vocabulary = vocabulary
    self.hidden = hidden
    self.epsilon = epsilon
    self.precision = precision
    self.prefix = prefix
    self.head = head
    self.ignored = ignoring
    self.parts = parts()
    location = SourceLocation(file, line, column)
  }

  /// Traces the model: every module runs once for each layer, and layers that differ only in their
  /// weights become one function.
  public func traced() -> TracedModel {
    var tracer = ModelTracer(model: self)
    return tracer.run()
  }
}

/// What tracing a model gives: the program, unless there were mistakes.
public struct TracedModel: Sendable {
  /// The program; not to be used if there are diagnostics.
  public var program: ModelProgram
  /// The mistakes.
  public var diagnostics: [ModelDiagnostic]
}

/// The parts of a model, as a builder's closure lists them.
@resultBuilder
public enum ModelBuilder {
  /// A module outside the layers.
  public static func buildExpression(_ module: any Module) -> [Model.Part] { [.module(module)] }
  /// Layers.
  public static func buildExpression(_ layers: Layers) -> [Model.Part] { [.layers(layers)] }
  /// MTP depths.
  public static func buildExpression(_ draft: MultiTokenPrediction) -> [Model.Part] {
    [.draft(draft)]
  }
  /// Parts in the order they are written.
  public static func buildBlock(_ parts: [Model.Part]...) -> [Model.Part] { parts.flatMap { $0 } }
  /// An `if` without `else`.
  public static func buildOptional(_ part: [Model.Part]?) -> [Model.Part] { part ?? [] }
  /// The first branch of an `if`.
  public static func buildEither(first part: [Model.Part]) -> [Model.Part] { part }
  /// The other branch of an `if`.
  public static func buildEither(second part: [Model.Part]) -> [Model.Part] { part }
  /// A `for` loop.
  public static func buildArray(_ parts: [[Model.Part]]) -> [Model.Part] { parts.flatMap { $0 } }
}
