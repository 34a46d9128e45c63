/// One alternative of the regular expression by which a tokenizer splits text.
///
/// The expressions in use are made of a handful of alternatives; each is matched by hand, with
/// the result that a backtracking engine has.
enum SplitRule: Sendable {
  /// An apostrophe and one of these endings, the first that fits.
  case contraction([String], ignoringCase: Bool)
  /// At most one `prefix`, one to `limit` of `body`, and any number of `suffix`.
  case run(
    prefix: ScalarClass? = nil, isPrefixRequired: Bool = false, body: ScalarClass,
    limit: Int = .max, suffix: ScalarClass? = nil)
  /// A word of capitals then small letters, at least one of the kind named, and a contraction.
  case cased(needsLower: Bool)
  /// White space up to and with its last line break.
  case throughLineBreak
  /// White space, all of it at the end of the text and all but the last before anything else.
  case beforeWord
  /// All white space.
  case whitespace

  private static let endings = ["s", "t", "re", "ve", "m", "ll", "d"]

  /// The alternatives by their text.
  static let known: [String: SplitRule] = {
    let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    var rules: [String: SplitRule] = [
      contractions: .contraction(endings, ignoringCase: true),
      #" ?\p{L}+"#: .run(prefix: .space, body: .letter),
      #" ?\p{N}+"#: .run(prefix: .space, body: .number),
      #"\p{N}"#: .run(body: .number, limit: 1),
      #"\p{N}{1,3}"#: .run(body: .number, limit: 3),
      #" ?[^\s\p{L}\p{N}]+"#: .run(prefix: .space, body: .other),
      #" ?[^\s\p{L}\p{N}]+[\r\n]*"#: .run(prefix: .space, body: .other, suffix: .lineBreak),
      #" ?[^\s\p{L}\p{N}]+[\r\n/]*"#:
        .run(prefix: .space, body: .other, suffix: .lineBreakOrSlash),
      #" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#:
        .run(prefix: .space, body: .otherButMark, suffix: .lineBreak),
      #" ?[\p{P}\p{S}]+[\r\n]*"#: .run(prefix: .space, body: .symbol, suffix: .lineBreak),
      #"[^\r\n\p{L}\p{N}]?\p{L}+"#: .run(prefix: .opening, body: .letter),
      #"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"#: .run(prefix: .opening, body: .letterOrMark),
      #"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"#:
        .run(prefix: .openingButSymbol, body: .letterOrMark),
      ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##:
        .run(prefix: .asciiPunctuation, isPrefixRequired: true, body: .asciiLetter),
      "[一-龥\u{3040}-ゟ゠-ヿ]+": .run(body: .chineseOrJapanese),
      #"[^\r\n\p{L}\p{N}]?\#(upper)*\#(lower)+\#(contractions)?"#: .cased(needsLower: true),
      #"[^\r\n\p{L}\p{N}]?\#(upper)+\#(lower)*\#(contractions)?"#: .cased(needsLower: false),
      #"\s*[\r\n]+"#: .throughLineBreak,
      #"\s*[\r\n]"#: .throughLineBreak,
      #"\s+(?!\S)"#: .beforeWord,
      #"\s+"#: .whitespace,
    ]
    for ending in endings { rules["'\(ending)"] = .contraction([ending], ignoringCase: false) }
    return rules
  }()

  /// Where the match that begins at `start` ends; nil if there is none.
  func match(_ text: [Unicode.Scalar], at start: Int) -> Int? {
    switch self {
    case .contraction(let endings, let ignoringCase):
      return Self.contraction(text, start, endings, ignoringCase: ignoringCase)
    case .run(let prefix, let isPrefixRequired, let body, let limit, let suffix):
      var first = start
      if let prefix, prefix.contains(text[start]), start + 1 < text.count,
        body.contains(text[start + 1])
      {
        first += 1
      } else if isPrefixRequired || !body.contains(text[start]) {
        return nil
      }
      let end = text.end(of: body, from: first, limit: limit)
      return suffix.map { text.end(of: $0, from: end) } ?? end
    case .cased(let needsLower):
      if ScalarClass.opening.contains(text[start]),
        let end = Self.cased(text, start + 1, needsLower: needsLower)
      {
        return end
      }
      return Self.cased(text, start, needsLower: needsLower)
    case .throughLineBreak:
      let end = text.end(of: .whitespace, from: start)
      return text[start..<end].lastIndex { ScalarClass.lineBreak.contains($0) }.map { $0 + 1 }
    case .beforeWord:
      let end = text.end(of: .whitespace, from: start)
      if end == text.count { return end == start ? nil : end }
      return end - start >= 2 ? end - 1 : nil
    case .whitespace:
      let end = text.end(of: .whitespace, from: start)
      return end == start ? nil : end
    }
  }

  private static func contraction(
    _ text: [Unicode.Scalar], _ start: Int, _ endings: [String], ignoringCase: Bool
  ) -> Int? {
    guard start < text.count, text[start] == "'" else { return nil }
    for ending in endings {
      let letters = Array(ending.unicodeScalars)
      guard start + letters.count < text.count else { continue }
      let fits = letters.indices.allSatisfy { index in
        let scalar = text[start + 1 + index]
        // The long s is the one letter outside ASCII that folds to one of these.
        return scalar == letters[index]
          || ignoringCase
            && (scalar.properties.lowercaseMapping == String(letters[index])
              || scalar == "\u{17f}" && letters[index] == "s")
      }
      if fits { return start + 1 + letters.count }
    }
    return nil
  }

  private static func cased(
    _ text: [Unicode.Scalar], _ start: Int, needsLower: Bool
  ) -> Int? {
    let capitals = text.end(of: .upper, from: start)
    var end = text.end(of: .lower, from: capitals)
    if needsLower && end == capitals {
      // The capitals give back letters that have no case until one can stand for a small one.
      let last = text[start..<capitals].lastIndex { ScalarClass.lower.contains($0) }
      guard let last else { return nil }
      end = text.end(of: .lower, from: last)
    }
    if !needsLower && capitals == start { return nil }
    return contraction(text, end, endings, ignoringCase: true) ?? end
  }
}

extension [Unicode.Scalar] {
  /// The end of the run of at most `limit` letters of a class that begins at `start`.
  fileprivate func end(of letters: ScalarClass, from start: Int, limit: Int = .max) -> Int {
    var end = start
    while end < count && end - start < limit && letters.contains(self[end]) { end += 1 }
    return end
  }
}
