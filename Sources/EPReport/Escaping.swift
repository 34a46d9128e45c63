/// Text out of model files on its way to a terminal, a DOT file or an SVG picture.
///
/// Names in a plan are whatever its author wrote, so nothing of them is taken on trust.
enum Escaping {
  /// The text without anything that moves a cursor, changes a colour or reorders what follows:
  /// such characters come out as `\u{1b}`.
  static func printable(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      if isHarmless(scalar) {
        result.unicodeScalars.append(scalar)
      } else {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      }
    }
    return result
  }

  /// `printable` line by line: line feeds stay.
  static func printableLines(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { printable(String($0)) }.joined(separator: "\n")
  }

  /// Text for XML content and attributes.
  static func xml(_ text: String) -> String {
    var result = ""
    for character in printable(text).unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }

  /// Lines as a quoted DOT string.
  static func dot(_ lines: [String]) -> String {
    let escaped = lines.map { line in
      printable(line).replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    }
    return "\"" + escaped.joined(separator: "\\n") + "\""
  }

  /// The text, cut to `most` characters with an ellipsis.
  static func shortened(_ text: String, to most: Int) -> String {
    text.count <= most ? text : text.prefix(max(most - 1, 0)) + "…"
  }

  private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned,
      .surrogate:
      return false
    default: return scalar.value & 0xfffe != 0xfffe
    }
  }
}
