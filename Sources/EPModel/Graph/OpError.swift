/// Why an operation cannot stand as it is: one phrase that names the rule and the numbers.
public struct OpError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The phrase.
  public var description: String

  /// Makes an error.
  public init(_ description: String) { self.description = description }
}
