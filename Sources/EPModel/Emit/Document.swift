/// A tree of plain data on its way to JSON.
public indirect enum Document: Hashable, Sendable {
  case flag(Bool)
  case int(Int)
  case real(Double)
  case text(String)
  case list([Document])
  case object([Field])

  /// A named part of an object.
  public struct Field: Hashable, Sendable {
    /// The name.
    public var name: String
    /// The value.
    public var value: Document

    /// Makes a field.
    public init(name: String, value: Document) {
      self.name = name
      self.value = value
    }
  }

  /// An object; fields without a value are left out.
  public static func object(_ fields: KeyValuePairs<String, Document?>) -> Document {
    .object(fields.compactMap { name, value in value.map { Field(name: name, value: $0) } })
  }

  /// A number; nil, which leaves a field out, where it is not finite.
  public static func finite(_ value: Double) -> Document? { value.isFinite ? .real(value) : nil }
  /// A list of texts.
  public static func texts(_ values: [String]) -> Document { .list(values.map(Document.text)) }
  /// A list of integers.
  public static func ints(_ values: [Int]) -> Document { .list(values.map(Document.int)) }
}

extension Document {
  /// An object with one field more, if there is a value for it.
  public func with(_ name: String, _ value: Document?) -> Document {
    guard let value, case .object(let fields) = self else { return self }
    return .object(fields + [Field(name: name, value: value)])
  }

  /// The tree as JSON text on one line.
  public var json: String {
    var text = ""
    write(to: &text)
    return text
  }

  private func write(to text: inout String) {
    switch self {
    case .flag(let value): text += value ? "true" : "false"
    case .int(let value): text += String(value)
    case .real(let value): text += value.isFinite ? String(value) : "null"
    case .text(let value): Document.write(value, to: &text)
    case .list(let values):
      text += "["
      for (index, value) in values.enumerated() {
        if index > 0 { text += "," }
        value.write(to: &text)
      }
      text += "]"
    case .object(let fields):
      text += "{"
      for (index, field) in fields.enumerated() {
        if index > 0 { text += "," }
        Document.write(field.name, to: &text)
        text += ":"
        field.value.write(to: &text)
      }
      text += "}"
    }
  }

  private static func write(_ value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
