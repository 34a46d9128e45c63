/// Something wrong with what a user gave: a model, a cluster, a plan, a flag.
public struct Diagnostic: Error, Hashable, Sendable {
  /// How bad it is.
  public enum Severity: String, Hashable, Sendable {
    case error, warning, note
    /// An error in another tool's words, which name the place themselves.
    case quoted
  }

  /// A stable kebab-case identifier.
  public var id: String
  /// How bad it is.
  public var severity: Severity
  /// Where: `models/k2.swift:12:5`, or a JSON path in a file, or empty.
  public var place: String
  /// One phrase that states the rule with the numbers, and the fix.
  public var message: String

  /// Makes a diagnostic.
  public init(_ id: String, _ message: String, at place: String = "", severity: Severity = .error) {
    self.id = id
    self.message = message
    self.place = place
    self.severity = severity
  }
}

extension Diagnostic: CustomStringConvertible {
  /// The line a user reads: `models/k2.swift:12:5: error: ... [id]`.
  public var description: String {
    severity == .quoted
      ? message : (place.isEmpty ? "" : place + ": ") + "\(severity.rawValue): \(message) [\(id)]"
  }
}

/// Diagnostics that end an operation.
public struct Diagnostics: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, at least one error among it.
  public var all: [Diagnostic]

  /// Makes a failure of several diagnostics.
  public init(_ all: [Diagnostic]) { self.all = all }

  /// Makes a failure of one error.
  public init(_ id: String, _ message: String, at place: String = "") {
    all = [Diagnostic(id, message, at: place)]
  }

  /// One line each.
  public var description: String { all.map(\.description).joined(separator: "\n") }
}
