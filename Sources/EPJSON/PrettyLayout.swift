/// Lays a value out for people; json-c writes the scalars.
///
/// An array or object whose one-line form has at most `width` bytes stays on one line. Longer
/// objects and arrays have one member per line, but arrays of numbers alone fill their lines.
struct PrettyLayout {
  /// The longest array or object on one line, without its indentation.
  static let width = 100

  /// What has been written.
  var text: [UInt8] = []

  /// Writes a value; `indent` is the column at which its closing bracket goes.
  mutating func write(_ value: JSONValue, indent: Int) throws(JSONError) {
    let start = text.count
    if try writeOneLine(value, limit: start + Self.width) { return }
    text.removeLast(text.count - start)
    switch value {
    case .null, .bool, .int, .double, .string: try value.appendScalar(to: &text)
    case .array(let elements):
      text.append(UInt8(ascii: "["))
      if elements.allSatisfy(\.isNumber) {
        try fillLines(elements, indent: indent + 2)
      } else {
        for (index, element) in elements.enumerated() {
          newline(after: index, indent: indent + 2)
          try write(element, indent: indent + 2)
        }
      }
      newline(after: 0, indent: indent)
      text.append(UInt8(ascii: "]"))
    case .object(let object):
      text.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        newline(after: index, indent: indent + 2)
        try writeKey(member.key)
        try write(member.value, indent: indent + 2)
      }
      newline(after: 0, indent: indent)
      text.append(UInt8(ascii: "}"))
    }
  }

  /// Writes a value on one line; gives up, and leaves a part of it, beyond `limit`.
  private mutating func writeOneLine(
    _ value: JSONValue, limit: Int
  ) throws(JSONError) -> Bool {
    switch value {
    case .string(let string) where text.count + string.utf8.count > limit: return false
    case .null, .bool, .int, .double, .string: try value.appendScalar(to: &text)
    case .array(let elements):
      text.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { text.append(contentsOf: ", ".utf8) }
        guard try writeOneLine(element, limit: limit) else { return false }
      }
      text.append(UInt8(ascii: "]"))
    case .object(let object):
      text.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        if index > 0 { text.append(contentsOf: ", ".utf8) }
        if text.count + member.key.utf8.count > limit { return false }
        try writeKey(member.key)
        guard try writeOneLine(member.value, limit: limit) else { return false }
      }
      text.append(UInt8(ascii: "}"))
    }
    return text.count <= limit
  }

  private mutating func fillLines(_ numbers: [JSONValue], indent: Int) throws(JSONError) {
    var lineEnd = 0
    for (index, number) in numbers.enumerated() {
      var digits: [UInt8] = []
      try number.appendScalar(to: &digits)
      // Two more for what stands before the number, one for the comma behind it.
      if index == 0 || text.count + digits.count + 3 > lineEnd {
        newline(after: index, indent: indent)
        lineEnd = text.count + Self.width
      } else {
        text.append(contentsOf: ", ".utf8)
      }
      text.append(contentsOf: digits)
    }
  }

  private mutating func writeKey(_ key: String) throws(JSONError) {
    try JSONValue.string(key).appendScalar(to: &text)
    text.append(contentsOf: ": ".utf8)
  }

  /// Ends a line, with a comma unless nothing stands before it, and indents the next one.
  private mutating func newline(after count: Int, indent: Int) {
    if count > 0 { text.append(UInt8(ascii: ",")) }
    text.append(0x0A)
    text.append(contentsOf: repeatElement(0x20, count: indent))
  }
}

extension JSONValue {
  fileprivate var isNumber: Bool {
    switch self {
    case .int, .double: true
    case .null, .bool, .string, .array, .object: false
    }
  }
}
