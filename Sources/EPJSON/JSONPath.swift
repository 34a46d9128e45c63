/// The way from the root of a document to an element, linked to the path of its parent.
///
/// Siblings share the link to their parent, so that a scalar costs no allocation; the text is made
/// only when an error needs it.
enum JSONPath: Sendable, CustomStringConvertible {
  case root
  case key(Link, String)
  case index(Link, Int)

  /// A path that children refer to.
  final class Link: Sendable {
    let path: JSONPath

    init(_ path: JSONPath) { self.path = path }
  }

  /// The path in the form `$.pools[0]["odd key"]`; long or odd keys are quoted, cut and escaped.
  var description: String {
    var parts: [String] = []
    var rest = self
    walk: while true {
      switch rest {
      case .root: break walk
      case .key(let parent, let key):
        parts.append(Self.isPlain(key) ? ".\(key)" : "[\"\(printable(key))\"]")
        rest = parent.path
      case .index(let parent, let index):
        parts.append("[\(index)]")
        rest = parent.path
      }
    }
    return "$" + parts.reversed().joined()
  }

  private static func isPlain(_ key: String) -> Bool {
    !key.isEmpty && key.utf8.count <= printableLength
      && key.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }
}

/// The most Unicode scalars of a document's own text that an error message repeats.
let printableLength = 64

/// Text from a document made safe to print: cut, with quotes and invisible characters escaped.
func printable(_ text: String) -> String {
  var result = ""
  for (count, scalar) in text.unicodeScalars.enumerated() {
    if count == printableLength { return result + "..." }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
      let digits = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    default:
      if scalar == "\"" || scalar == "\\" { result += "\\" }
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}
