/// The letters by which byte-level tokenizers write bytes, as GPT-2 defined them.
enum ByteAlphabet {
  /// The letter of each byte: the byte itself where it prints, else the next letter from U+0100.
  static let letters: [Unicode.Scalar] = {
    var next: UInt16 = 0x100
    return (0..<256).map { byte in
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return Unicode.Scalar(UInt8(byte))
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? "\u{fffd}"
      }
    }
  }()

  /// The byte of each letter.
  static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: letters.enumerated().map { ($1, UInt8($0)) })

  /// The bytes that a token stands for; a token with other letters stands for its own text.
  static func decode(_ token: String) -> [UInt8] {
    var decoded: [UInt8] = []
    for scalar in token.unicodeScalars {
      guard let byte = bytes[scalar] else { return Array(token.utf8) }
      decoded.append(byte)
    }
    return decoded
  }
}
