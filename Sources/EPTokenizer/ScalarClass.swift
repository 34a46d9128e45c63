/// A class of letters, as the regular expressions of tokenizers use them.
enum ScalarClass: Sendable {
  /// ` `
  case space
  /// `\s`
  case whitespace
  /// `[\r\n]`
  case lineBreak
  /// `[\r\n/]`
  case lineBreakOrSlash
  /// `\p{L}`
  case letter
  /// `[\p{L}\p{M}]`
  case letterOrMark
  /// `\p{N}`
  case number
  /// `[\p{P}\p{S}]`
  case symbol
  /// `[^\s\p{L}\p{N}]`
  case other
  /// `[^\s\p{L}\p{M}\p{N}]`
  case otherButMark
  /// `[^\r\n\p{L}\p{N}]`
  case opening
  /// `[^\r\n\p{L}\p{P}\p{S}]`
  case openingButSymbol
  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
  case upper
  /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
  case lower
  /// The punctuation of ASCII.
  case asciiPunctuation
  /// `[A-Za-z]`
  case asciiLetter
  /// `[一-龥぀-ゟ゠-ヿ]`
  case chineseOrJapanese

  /// Whether the letter is in the class.
  func contains(_ scalar: Unicode.Scalar) -> Bool {
    switch self {
    case .space: scalar == " "
    case .whitespace: scalar.properties.isWhitespace
    case .lineBreak: scalar == "\r" || scalar == "\n"
    case .lineBreakOrSlash: scalar == "\r" || scalar == "\n" || scalar == "/"
    case .letter: scalar.group == .letter
    case .letterOrMark: scalar.group == .letter || scalar.group == .mark
    case .number: scalar.group == .number
    case .symbol: scalar.group == .symbol
    case .other:
      scalar.group != .letter && scalar.group != .number && !scalar.properties.isWhitespace
    case .otherButMark:
      scalar.group != .letter && scalar.group != .number && scalar.group != .mark
        && !scalar.properties.isWhitespace
    case .opening:
      scalar.group != .letter && scalar.group != .number && !Self.lineBreak.contains(scalar)
    case .openingButSymbol:
      scalar.group != .letter && scalar.group != .symbol && !Self.lineBreak.contains(scalar)
    case .upper:
      Self.letterOrMark.contains(scalar) && scalar.properties.generalCategory != .lowercaseLetter
    case .lower:
      Self.letterOrMark.contains(scalar) && scalar.properties.generalCategory != .uppercaseLetter
        && scalar.properties.generalCategory != .titlecaseLetter
    case .asciiPunctuation: scalar.isASCII && scalar.group == .symbol
    case .asciiLetter: ("A"..."Z").contains(scalar) || ("a"..."z").contains(scalar)
    case .chineseOrJapanese:
      (0x4E00...0x9FA5).contains(scalar.value) || (0x3040...0x30FF).contains(scalar.value)
    }
  }
}

/// The first letter of a general category; punctuation and symbols are one.
private enum ScalarGroup { case letter, mark, number, symbol, rest }

extension Unicode.Scalar {
  fileprivate var group: ScalarGroup {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      .letter
    case .nonspacingMark, .spacingMark, .enclosingMark: .mark
    case .decimalNumber, .letterNumber, .otherNumber: .number
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation, .mathSymbol, .currencySymbol,
      .modifierSymbol, .otherSymbol:
      .symbol
    default: .rest
    }
  }
}
