/// Checks that a text is JSON as RFC 8259 has it, before json-c, which is lenient, sees it.
///
/// Besides the grammar it refuses integers outside `Int`, numbers that overflow to infinity, and
/// U+0000 in keys, which json-c would cut there. It recurses once per level, up to `maxDepth`.
struct Lexer {
  /// Where an object begins, and how many members its text has.
  ///
  /// json-c keeps only the last of equal keys: an object that it holds with fewer members than the
  /// text has a duplicate.
  struct ObjectMark {
    var offset: Int32
    var members: Int32
  }

  let bytes: [UInt8]
  let maxDepth: Int
  var position = 0
  /// All objects in the order of their opening braces.
  private(set) var objects: [ObjectMark] = []
  /// Whether every scalar in every string is known to be ASCII.
  var isASCII = true

  init(_ bytes: [UInt8], maxDepth: Int) {
    self.bytes = bytes
    self.maxDepth = maxDepth
  }

  /// Checks the whole text and returns the range of its one value.
  mutating func document() throws(Fault) -> Range<Int> {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      throw Fault("a byte order mark is not allowed", at: 0)
    }
    skipSpace()
    let start = position
    try value(depth: 0)
    let end = position
    skipSpace()
    if position < bytes.count { throw unexpected("the end of the document") }
    return start..<end
  }

  /// The byte at the position; 0, which no grammar rule accepts, after the end.
  var current: UInt8 { position < bytes.count ? bytes[position] : 0 }

  /// Says that the current byte is not what the grammar wants.
  func unexpected(_ wanted: String) -> Fault {
    guard position < bytes.count else {
      return Fault("expected \(wanted), found the end of the text", at: position)
    }
    let byte = bytes[position]
    let found =
      (0x21...0x7E).contains(byte)
      ? "'\(Character(UnicodeScalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
    return Fault("expected \(wanted), found \(found)", at: position)
  }

  private mutating func skipSpace() {
    while true {
      switch current {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  private mutating func value(depth: Int) throws(Fault) {
    switch current {
    case UInt8(ascii: "{"): try object(depth: depth + 1)
    case UInt8(ascii: "["): try array(depth: depth + 1)
    case UInt8(ascii: "\""): try string(isKey: false)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
    case UInt8(ascii: "t"): try literal("true")
    case UInt8(ascii: "f"): try literal("false")
    case UInt8(ascii: "n"): try literal("null")
    default: throw unexpected("a value")
    }
  }

  private mutating func object(depth: Int) throws(Fault) {
    try enter(depth)
    let mark = objects.count
    objects.append(ObjectMark(offset: Int32(position - 1), members: 0))
    skipSpace()
    if take(UInt8(ascii: "}")) { return }
    repeat {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { throw unexpected("a key in double quotes") }
      try string(isKey: true)
      objects[mark].members += 1
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw unexpected("':'") }
      skipSpace()
      try value(depth: depth)
      skipSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw unexpected("',' or '}'") }
  }

  private mutating func array(depth: Int) throws(Fault) {
    try enter(depth)
    skipSpace()
    if take(UInt8(ascii: "]")) { return }
    repeat {
      skipSpace()
      try value(depth: depth)
      skipSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw unexpected("',' or ']'") }
  }

  private mutating func enter(_ depth: Int) throws(Fault) {
    if depth > maxDepth {
      throw Fault("nested deeper than \(maxDepth) levels", at: position)
    }
    position += 1
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    position += 1
    return true
  }

  private mutating func literal(_ word: StaticString) throws(Fault) {
    let start = position
    for byte in "\(word)".utf8 {
      guard take(byte) else {
        position = start
        throw unexpected("a value")
      }
    }
  }
}
