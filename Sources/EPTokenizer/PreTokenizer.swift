import EPJSON

/// A step that splits text into the pieces within which tokens are merged.
enum PreTokenizer: Sendable {
  /// Each match of the first rule that fits is a piece, and so is what lies between matches.
  case split([SplitRule])
  /// Spaces as a visible letter, perhaps with one before the text, perhaps split before each.
  case metaspace(Unicode.Scalar, prepend: Prepend, split: Bool)
  /// Bytes as letters of `ByteAlphabet`, perhaps with a space before each piece.
  case bytes(addsSpace: Bool)

  /// Where `metaspace` puts its letter in front.
  enum Prepend: String, CaseIterable, Sendable { case always, first, never }

  /// What GPT-2 splits by, and a byte-level step without a pattern of its own.
  private static let gpt2 =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// The steps of a `pre_tokenizer` element, in order.
  static func load(_ node: JSONNode?) throws(LoadFault) -> [PreTokenizer] {
    guard let node else { return [] }
    switch try node.type() {
    case "Sequence":
      var steps: [PreTokenizer] = []
      for step in try node.list("pretokenizers") { steps += try load(step) }
      return steps
    case "Split":
      let regex = try node.load { node throws(JSONError) in
        try node["pattern"].optional("Regex")?.string()
      }
      guard let regex else { throw node.unsupported("a split by a plain text") }
      guard try node.text("behavior") == "Isolated", try !node.flag("invert", missing: false)
      else { throw node.unsupported("a split that drops or joins its matches") }
      return [.split(try rules(regex, node))]
    case "ByteLevel":
      let bytes = PreTokenizer.bytes(
        addsSpace: try node.flag("add_prefix_space", missing: true))
      guard try node.flag("use_regex", missing: true) else { return [bytes] }
      return [bytes, .split(try rules(gpt2, node))]
    case "Metaspace":
      let letters = try node.text("replacement").unicodeScalars
      guard let letter = letters.first, letters.count == 1 else {
        throw node.unsupported("a replacement of more than one letter")
      }
      let prepend = try node.load { node throws(JSONError) -> Prepend in
        try node.optional("prepend_scheme")?.stringEnum() ?? .always
      }
      return [
        .metaspace(letter, prepend: prepend, split: try node.flag("split", missing: true))
      ]
    case let type: throw node.unsupported("the pre-tokenizer '\(type)'")
    }
  }

  /// The rules of a regular expression, each of which must be known.
  private static func rules(_ regex: String, _ node: JSONNode) throws(LoadFault) -> [SplitRule] {
    var rules: [SplitRule] = []
    for text in alternatives(regex) {
      guard let rule = SplitRule.known[text] else {
        throw node.unsupported("a split by the unknown pattern '\(text)'")
      }
      rules.append(rule)
    }
    return rules
  }

  /// The parts between the `|` that are in no group and no class; line breaks as escapes.
  static func alternatives(_ regex: String) -> [String] {
    var parts = [""]
    var (depth, isInClass, isEscaped) = (0, false, false)
    for scalar in regex.unicodeScalars {
      if scalar == "|" && depth == 0 && !isInClass && !isEscaped {
        parts.append("")
        continue
      }
      switch scalar {
      case "\r": parts[parts.count - 1] += #"\r"#
      case "\n": parts[parts.count - 1] += #"\n"#
      default: parts[parts.count - 1].unicodeScalars.append(scalar)
      }
      if isEscaped {
        isEscaped = false
      } else if scalar == "\\" {
        isEscaped = true
      } else if isInClass {
        isInClass = scalar != "]"
      } else {
        isInClass = scalar == "["
        depth += scalar == "(" ? 1 : scalar == ")" ? -1 : 0
      }
    }
    return parts
  }
}
