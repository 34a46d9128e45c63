/// One operation of a function in static single assignment form.
public struct Operation: Hashable, Sendable {
  /// What it does; `OpKind.specification` says what it takes.
  public var kind: OpKind
  /// What it reads, each by the role its specification names.
  public var operands: [Operand]
  /// Its constants.
  public var attributes: Attributes
  /// The values it defines, as indices into the function's values.
  public var results: [Int]
  /// The module that made it, as a path below the layer: `self_attn.q_a_layernorm`.
  public var scope: String
  /// Where in the model file that module stands, as an index into the program's locations, or -1.
  public var location: Int

  /// Makes an operation.
  public init(
    _ kind: OpKind, _ operands: [Operand], attributes: Attributes = Attributes(),
    results: [Int], scope: String = "", location: Int = -1
  ) {
    self.kind = kind
    self.operands = operands
    self.attributes = attributes
    self.results = results
    self.scope = scope
    self.location = location
  }

  /// What stands in a role, or nil where an optional operand is absent.
  public func operand(_ role: String) -> Reference? {
    operands.first { $0.role == role }?.reference
  }

  /// All operands of a role that may repeat.
  public func operands(_ role: String) -> [Reference] {
    operands.filter { $0.role == role }.map(\.reference)
  }
}

/// What an operation reads, and as what.
public struct Operand: Hashable, Sendable {
  /// The role, out of the operation's specification.
  public var role: String
  /// The thing read.
  public var reference: Reference

  /// Makes an operand.
  public init(_ role: String, _ reference: Reference) {
    self.role = role
    self.reference = reference
  }
}

/// A value, weight or cache of the enclosing function, by index.
public enum Reference: Hashable, Sendable {
  /// A value: `%3`.
  case value(Int)
  /// A weight: `@3`.
  case weight(Int)
  /// A cache, read and updated in place: `$3`.
  case cache(Int)
}

extension Reference: CustomStringConvertible {
  /// `%3`, `@3` or `$3`.
  public var description: String {
    switch self {
    case .value(let index): return "%\(index)"
    case .weight(let index): return "@\(index)"
    case .cache(let index): return "$\(index)"
    }
  }
}
