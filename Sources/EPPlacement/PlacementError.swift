/// Why loads, a placement or a request could not be used.
public enum PlacementError: Error, Hashable, Sendable {
  /// A text that is not what its format asks for, at a line and column from 1.
  case malformed(source: String, line: Int, column: Int, reason: String)
  /// A document that is not what its format asks for, at a JSON path.
  case document(source: String, reason: String)
  /// A file that cannot be read or written.
  case file(String)
  /// A distribution that is not known.
  case distribution(String)
  /// Sizes that do not fit together.
  case shape(String)
}

extension PlacementError: CustomStringConvertible {
  /// One line for people.
  public var description: String {
    switch self {
    case .malformed(let source, let line, let column, let reason):
      "\(source):\(line):\(column): \(reason)"
    case .document(let source, let reason): "\(source): \(reason)"
    case .file(let message): message
    case .distribution(let name):
      "'\(name)' is no distribution; take 'uniform', 'zipf:EXPONENT' or 'lognormal:SIGMA', "
        + "with '@SEED' behind it if you like"
    case .shape(let message): message
    }
  }
}
