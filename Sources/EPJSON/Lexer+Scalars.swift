extension Lexer {
  /// The longest text of a number; what a double needs to be exact is about 770 digits.
  static let longestNumber = 1024

  /// Checks a string, from its opening quote to behind its closing one.
  mutating func string(isKey: Bool) throws(Fault) {
    let start = position
    position += 1
    while true {
      switch current {
      case UInt8(ascii: "\""):
        position += 1
        return
      case UInt8(ascii: "\\"): try escape(isKey: isKey)
      case 0x00..<0x20:
        if position == bytes.count { throw Fault("the string has no end", at: start) }
        throw Fault("a control character in a string must be escaped", at: position)
      case 0x80...: try multibyteScalar()
      default: position += 1
      }
    }
  }

  private mutating func escape(isKey: Bool) throws(Fault) {
    let start = position
    position += 1
    switch current {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
      UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      position += 1
    case UInt8(ascii: "u"):
      let unit = try hexUnit(of: start)
      if unit >= 0x80 { isASCII = false }
      switch unit {
      case 0xD800...0xDBFF:
        guard current == UInt8(ascii: "\\") else { throw Fault("lone surrogate", at: start) }
        position += 1
        guard current == UInt8(ascii: "u"), (0xDC00...0xDFFF).contains(try hexUnit(of: start))
        else { throw Fault("lone surrogate", at: start) }
      case 0xDC00...0xDFFF: throw Fault("lone surrogate", at: start)
      case 0 where isKey: throw Fault("U+0000 is not supported in a key", at: start)
      default: break
      }
    default: throw Fault("unknown escape sequence", at: start)
    }
  }

  /// Reads `uXXXX` of the escape that begins at `start`.
  private mutating func hexUnit(of start: Int) throws(Fault) -> UInt32 {
    position += 1
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(UnicodeScalar(current)).hexDigitValue else {
        throw Fault("expected four hexadecimal digits after '\\u'", at: start)
      }
      unit = unit << 4 | UInt32(digit)
      position += 1
    }
    return unit
  }

  /// Checks one UTF-8 sequence of two to four bytes by the table of RFC 3629.
  private mutating func multibyteScalar() throws(Fault) {
    isASCII = false
    let start = position
    let lead = current
    position += 1
    let more: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0xC2...0xDF: more = 1
    case 0xE0: (more, second) = (2, 0xA0...0xBF)
    case 0xED: (more, second) = (2, 0x80...0x9F)
    case 0xE1...0xEF: more = 2
    case 0xF0: (more, second) = (3, 0x90...0xBF)
    case 0xF1...0xF3: more = 3
    case 0xF4: (more, second) = (3, 0x80...0x8F)
    default: throw Fault("invalid UTF-8", at: start)
    }
    for _ in 0..<more {
      guard second.contains(current) else { throw Fault("invalid UTF-8", at: start) }
      position += 1
      second = 0x80...0xBF
    }
  }

  /// Checks a number, and that an `Int` or a finite `Double` can hold it.
  mutating func number() throws(Fault) {
    let start = position
    if current == UInt8(ascii: "-") { position += 1 }
    if current == UInt8(ascii: "0") {
      position += 1
      if isDigit(current) { throw Fault("a number must not begin with 0", at: start) }
    } else {
      try digits()
    }
    var isInteger = true
    var exponentDigits = 0
    if current == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      try digits()
    }
    if current | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      exponentDigits = try digits()
    }
    let length = position - start
    if length > Self.longestNumber {
      throw Fault("a number longer than \(Self.longestNumber) characters", at: start)
    }
    // Shorter numbers cannot overflow: 2^63 has 19 digits, and 1e308 needs three in its exponent.
    if isInteger && length >= 19 && Int(text(from: start)) == nil {
      throw Fault("an integer outside \(Int.min)...\(Int.max)", at: start)
    }
    if !isInteger && (exponentDigits > 2 || length > 200)
      && !(Double(text(from: start)) ?? .infinity).isFinite
    {
      throw Fault("a number too large for a double", at: start)
    }
  }

  @discardableResult
  private mutating func digits() throws(Fault) -> Int {
    let start = position
    while isDigit(current) { position += 1 }
    if position == start { throw unexpected("a digit") }
    return position - start
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

  private func text(from start: Int) -> String {
    String(decoding: bytes[start..<position], as: UTF8.self)
  }
}
