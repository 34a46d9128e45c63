import EPJSON

/// A token that is found in the text before anything else is done to it.
struct AddedToken: Sendable {
  let id: Int
  let content: String
  /// Whether decoding leaves it out when asked to.
  let isSpecial: Bool
  /// Whether white space before it belongs to it.
  let stripsLeft: Bool
  /// Whether white space after it belongs to it.
  let stripsRight: Bool
  let scalars: [Unicode.Scalar]
}

/// All added tokens, and the search for them.
struct AddedTokens: Sendable {
  /// A part of a text.
  enum Part {
    case token(Int)
    case text([Unicode.Scalar])
  }

  let tokens: [AddedToken]
  /// The tokens by their first letter, the longest first.
  private let byFirst: [Unicode.Scalar: [AddedToken]]

  /// Reads an `added_tokens` element.
  ///
  /// - Parameter normalizers: what would be done to the tokens that want to be normalised.
  init(_ node: JSONNode?, normalizers: [Normalizer]) throws(LoadFault) {
    var tokens: [AddedToken] = []
    for entry in try node?.load({ node throws(JSONError) in try node.array() }) ?? [] {
      let content = try entry.text("content")
      let token = AddedToken(
        id: try entry.load { node throws(JSONError) in
          try node["id"].int(in: 0...BytePairModel.maximumTokens)
        },
        content: content, isSpecial: try entry.flag("special", missing: false),
        stripsLeft: try entry.flag("lstrip", missing: false),
        stripsRight: try entry.flag("rstrip", missing: false),
        scalars: Array(content.unicodeScalars))
      if try entry.flag("single_word", missing: false) {
        throw entry.unsupported("an added token that must be a word of its own")
      }
      // Such a token is sought in the normalised text, which for these is the text itself.
      let isPlain = token.scalars.allSatisfy { $0.isASCII && $0 != " " }
      if try entry.flag("normalized", missing: !token.isSpecial), !normalizers.isEmpty,
        !isPlain || !normalizers.allSatisfy(\.keepsASCIIWords)
      {
        throw entry.unsupported("an added token that the normalizer changes")
      }
      if !token.scalars.isEmpty { tokens.append(token) }
    }
    self.tokens = tokens
    self.byFirst = Dictionary(grouping: tokens) { $0.scalars[0] }.mapValues { group in
      group.sorted { $0.scalars.count > $1.scalars.count }
    }
  }

  /// Cuts the text at the added tokens, the leftmost first and there the longest.
  func split(_ text: [Unicode.Scalar]) -> [Part] {
    var parts: [Part] = []
    var start = 0
    var place = 0
    while place < text.count {
      let found = byFirst[text[place]]?.first { text[place...].starts(with: $0.scalars) }
      guard let found else {
        place += 1
        continue
      }
      var end = place
      if found.stripsLeft {
        while end > start && text[end - 1].properties.isWhitespace { end -= 1 }
      }
      if start < end { parts.append(.text(Array(text[start..<end]))) }
      parts.append(.token(found.id))
      place += found.scalars.count
      if found.stripsRight {
        while place < text.count && text[place].properties.isWhitespace { place += 1 }
      }
      start = place
    }
    if start < text.count { parts.append(.text(Array(text[start...]))) }
    return parts
  }
}
