/// A mistake in a model file, found while the model was traced.
public struct ModelDiagnostic: Hashable, Sendable {
  /// A stable kebab-case identifier.
  public var id: String
  /// One phrase: the rule with the numbers, and the fix.
  public var message: String
  /// The module that is wrong.
  public var location: SourceLocation?

  /// Makes a diagnostic.
  public init(_ id: String, _ message: String, at location: SourceLocation?) {
    self.id = id
    self.message = message
    self.location = location
  }
}
