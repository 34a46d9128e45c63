import EPJSON

/// A step that turns the texts of tokens into text.
enum Decoder: Sendable {
  /// Letters of `ByteAlphabet` as the bytes they stand for, joined.
  case bytes
  /// Every occurrence of a text as another.
  case replace(String, String)
  /// Runs of `<0x..>` tokens as the text that their bytes are, or U+FFFD for each byte.
  case byteFallback
  /// All texts joined.
  case fuse
  /// At most so many of a letter taken from both ends of each text.
  case strip(Unicode.Scalar, start: Int, stop: Int)
  /// The visible space as a space, except at the start of the first text if it was put there.
  case metaspace(String, isPrepended: Bool)

  /// The steps of a `decoder` element, in order.
  static func load(_ node: JSONNode?) throws(LoadFault) -> [Decoder] {
    guard let node else { return [] }
    switch try node.type() {
    case "Sequence":
      var steps: [Decoder] = []
      for step in try node.list("decoders") { steps += try load(step) }
      return steps
    case "ByteLevel": return [.bytes]
    case "ByteFallback": return [.byteFallback]
    case "Fuse": return [.fuse]
    case "Replace":
      let pattern = try node.load { node throws(JSONError) in
        try node["pattern"].optional("String")?.string()
      }
      guard let pattern, !pattern.isEmpty else {
        throw node.unsupported("a replacement of a regular expression")
      }
      return [.replace(pattern, try node.text("content"))]
    case "Strip":
      let content = try node.text("content").unicodeScalars
      guard let letter = content.first, content.count == 1 else {
        throw node.unsupported("stripping more than one letter")
      }
      let (start, stop) = try node.load { node throws(JSONError) in
        (try node["start"].int(in: 0...65_536), try node["stop"].int(in: 0...65_536))
      }
      return [.strip(letter, start: start, stop: stop)]
    case "Metaspace":
      let prepend = try node.member("prepend_scheme")?.load { node throws(JSONError) in
        try node.string()
      }
      return [.metaspace(try node.text("replacement"), isPrepended: prepend != "never")]
    case let type: throw node.unsupported("the decoder '\(type)'")
    }
  }

  /// The changed texts.
  func apply(_ texts: [[UInt8]]) -> [[UInt8]] {
    switch self {
    case .bytes:
      return [texts.flatMap { ByteAlphabet.decode(String(decoding: $0, as: UTF8.self)) }]
    case .replace(let pattern, let content):
      return texts.map { Self.replace(Array(pattern.utf8), Array(content.utf8), in: $0) }
    case .byteFallback: return Self.joinBytes(texts)
    case .fuse: return [Array(texts.joined())]
    case .strip(let letter, let start, let stop):
      return texts.map { text in
        let scalars = Array(String(decoding: text, as: UTF8.self).unicodeScalars)
        let first = scalars.prefix(start).prefix { $0 == letter }.count
        let last = scalars[first...].suffix(stop).reversed().prefix { $0 == letter }.count
        return TokenText(scalars[first..<(scalars.count - last)]).bytes
      }
    case .metaspace(let replacement, let isPrepended):
      return texts.enumerated().map { index, text in
        let spaced = Self.replace(Array(replacement.utf8), [UInt8(ascii: " ")], in: text)
        let isFirst = index == 0 && isPrepended && spaced.first == UInt8(ascii: " ")
        return isFirst ? Array(spaced.dropFirst()) : spaced
      }
    }
  }

  private static func replace(_ pattern: [UInt8], _ content: [UInt8], in text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var place = 0
    while place < text.count {
      if text[place...].starts(with: pattern) {
        result += content
        place += pattern.count
      } else {
        result.append(text[place])
        place += 1
      }
    }
    return result
  }

  private static func joinBytes(_ texts: [[UInt8]]) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var run: [UInt8] = []
    func flush() {
      guard !run.isEmpty else { return }
      if let text = String(validating: run, as: UTF8.self) {
        result.append(Array(text.utf8))
      } else {
        result += run.map { _ in Array("\u{fffd}".utf8) }
      }
      run = []
    }
    for text in texts {
      if let byte = ByteFallback.byte(String(decoding: text, as: UTF8.self)) {
        run.append(byte)
      } else {
        flush()
        result.append(text)
      }
    }
    flush()
    return result
  }
}
