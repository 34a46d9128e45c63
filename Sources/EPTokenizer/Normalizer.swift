import EPJSON
@_spi(_Unicode) import Swift

/// A change of the text before it is split.
enum Normalizer: Sendable {
  /// Canonical composition, as Unicode defines it.
  case nfc
  /// A text put before every piece that is not empty.
  case prepend([Unicode.Scalar])
  /// One letter written as another text.
  case replace(Unicode.Scalar, [Unicode.Scalar])

  /// The steps of a `normalizer` element, in order.
  static func load(_ node: JSONNode?) throws(LoadFault) -> [Normalizer] {
    guard let node else { return [] }
    switch try node.type() {
    case "NFC": return [.nfc]
    case "Prepend": return [.prepend(Array(try node.text("prepend").unicodeScalars))]
    case "Replace":
      let pattern = try node.load { node throws(JSONError) in
        try node["pattern"].optional("String")?.string()
      }
      guard let letters = pattern?.unicodeScalars, letters.count == 1, let letter = letters.first
      else { throw node.unsupported("a replacement of more than one letter") }
      return [.replace(letter, Array(try node.text("content").unicodeScalars))]
    case "Sequence":
      var steps: [Normalizer] = []
      for step in try node.list("normalizers") { steps += try load(step) }
      return steps
    case let type: throw node.unsupported("the normalizer '\(type)'")
    }
  }

  /// The changed text.
  func apply(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    switch self {
    case .nfc:
      // Text without letters above U+02FF is composed already.
      guard text.contains(where: { $0.value >= 0x300 }) else { return text }
      return Array(text.string._nfc)
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .replace(let letter, let content): return text.flatMap { $0 == letter ? content : [$0] }
    }
  }

  /// Whether text of ASCII letters other than the space stays as it is.
  var keepsASCIIWords: Bool {
    switch self {
    case .nfc: true
    case .prepend: false
    case .replace(let letter, _): letter == " "
    }
  }
}

extension Sequence<Unicode.Scalar> {
  /// The letters as a string.
  var string: String {
    var scalars = String.UnicodeScalarView()
    scalars.append(contentsOf: self)
    return String(scalars)
  }
}
