internal import EPModel

extension Document {
  /// The tree as YAML: blocks for objects and lists, every text quoted as in JSON, or as a literal
  /// block where it has several lines.
  var yaml: String {
    var text = ""
    write(to: &text, indent: 0)
    return text
  }

  private func write(to text: inout String, indent: Int) {
    let margin = String(repeating: " ", count: indent)
    switch self {
    case .object(let fields):
      for field in fields {
        text += margin + Document.key(field.name) + ":"
        field.value.writeValue(to: &text, indent: indent)
      }
    case .list(let values):
      for value in values {
        if case .object(let fields) = value, !fields.isEmpty {
          // The first key stands behind the dash.
          var inner = ""
          value.write(to: &inner, indent: indent + 2)
          text += margin + "- " + inner.dropFirst(indent + 2)
        } else {
          text += margin + "-"
          value.writeValue(to: &text, indent: indent)
        }
      }
    case .flag, .int, .real, .text: text += margin + json + "\n"
    }
  }

  /// Behind a colon or a dash.
  private func writeValue(to text: inout String, indent: Int) {
    switch self {
    case .object(let fields) where !fields.isEmpty:
      text += "\n"
      write(to: &text, indent: indent + 2)
    case .list(let values) where !values.isEmpty:
      text += "\n"
      write(to: &text, indent: indent + 2)
    case .text(let value) where value.hasSuffix("\n") && Document.isLiteral(value):
      let margin = String(repeating: " ", count: indent + 2)
      text += " |\n"
      for line in value.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
        text += line.isEmpty ? "\n" : margin + line + "\n"
      }
    default: text += " " + json + "\n"
    }
  }

  /// Whether a literal block reads back as the text: no line begins with a space that would set the
  /// block's margin, and none holds what YAML forbids.
  private static func isLiteral(_ text: String) -> Bool {
    guard let first = text.first, first != " ", first != "\n", !text.hasSuffix("\n\n") else {
      return false
    }
    return text.unicodeScalars.allSatisfy { $0 == "\n" || ($0.value >= 0x20 && $0.value < 0x7F) }
  }

  private static func key(_ name: String) -> String {
    let isPlain =
      !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "_"):
          true
        default: "-./0123456789".utf8.contains(byte)
        }
      } && name.utf8.first.map { !"-./0123456789".utf8.contains($0) } ?? false
    return isPlain && !["null", "true", "false", "yes", "no", "on", "off"].contains(name)
      ? name : Document.text(name).json
  }
}
