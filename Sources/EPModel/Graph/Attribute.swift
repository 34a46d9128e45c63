/// The value of an operation's attribute.
public enum Attribute: Hashable, Sendable {
  case flag(Bool)
  case int(Int)
  case real(Double)
  case text(String)
  case list([Attribute])
}

extension Attribute: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral
{
  /// An integer attribute.
  public init(integerLiteral value: Int) { self = .int(value) }
  /// A real attribute.
  public init(floatLiteral value: Double) { self = .real(value) }
  /// A text attribute.
  public init(stringLiteral value: String) { self = .text(value) }
  /// A flag.
  public init(booleanLiteral value: Bool) { self = .flag(value) }
  /// A list.
  public init(arrayLiteral elements: Attribute...) { self = .list(elements) }
}

extension Attribute: CustomStringConvertible {
  /// The attribute as the textual IR writes it; texts are quoted.
  public var description: String {
    switch self {
    case .flag(let value): return value ? "true" : "false"
    case .int(let value): return "\(value)"
    case .real(let value): return "\(value)"
    case .text(let value): return "\"\(value)\""
    case .list(let values): return "[" + values.map(\.description).joined(separator: ", ") + "]"
    }
  }
}

/// The attributes of one operation, ordered by name so that equal operations have equal text.
public struct Attributes: Hashable, Sendable {
  /// Name and value, ascending by name.
  public private(set) var entries: [Entry]

  /// One attribute.
  public struct Entry: Hashable, Sendable {
    /// The name, as the operation's specification lists it.
    public var name: String
    /// The value.
    public var value: Attribute
  }

  /// No attributes.
  public init() { entries = [] }

  /// Attributes by name; a later value replaces an earlier one, nil leaves the attribute out.
  public init(_ pairs: KeyValuePairs<String, Attribute?>) {
    entries = []
    for (name, value) in pairs where value != nil { self[name] = value }
  }

  /// Reads, sets or (with nil) removes an attribute.
  public subscript(name: String) -> Attribute? {
    get { entries.first { $0.name == name }?.value }
    set {
      let position = entries.firstIndex { $0.name >= name } ?? entries.count
      let found = position < entries.count && entries[position].name == name
      switch (newValue, found) {
      case (let value?, true): entries[position].value = value
      case (let value?, false): entries.insert(Entry(name: name, value: value), at: position)
      case (nil, true): entries.remove(at: position)
      case (nil, false): break
      }
    }
  }

  /// The integer of that name, or the default.
  public func int(_ name: String, default fallback: Int = 0) -> Int {
    if case .int(let value)? = self[name] { return value }
    return fallback
  }

  /// The real of that name (an integer counts as one), or the default.
  public func real(_ name: String, default fallback: Double = 0) -> Double {
    switch self[name] {
    case .real(let value)?: return value
    case .int(let value)?: return Double(value)
    default: return fallback
    }
  }

  /// The flag of that name, or false.
  public func flag(_ name: String) -> Bool { self[name] == .flag(true) }

  /// The text of that name, or the empty string.
  public func text(_ name: String) -> String {
    if case .text(let value)? = self[name] { return value }
    return ""
  }

  /// The list of texts of that name, or none.
  public func texts(_ name: String) -> [String] {
    guard case .list(let values)? = self[name] else { return [] }
    return values.compactMap { if case .text(let text) = $0 { return text } else { return nil } }
  }

  /// The list of integers of that name, or none.
  public func ints(_ name: String) -> [Int] {
    guard case .list(let values)? = self[name] else { return [] }
    return values.compactMap { if case .int(let value) = $0 { return value } else { return nil } }
  }
}
