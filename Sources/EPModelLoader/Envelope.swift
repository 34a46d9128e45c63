/// The envelope in which a model leaves its process: the line `epc-model 1`, then the payload.
enum Envelope {
  /// The version that this loader reads.
  static let version = 1
  private static let magic = "epc-model "

  /// Takes the payload out.
  static func payload(of bytes: [UInt8]) throws(ModelLoadError.EnvelopeFault) -> [UInt8] {
    guard bytes.starts(with: magic.utf8) else { throw .notAnEnvelope }
    // Longer than any version number; a line without end is not searched for one.
    guard let end = bytes.prefix(64).firstIndex(of: UInt8(ascii: "\n")),
      let number = Int(String(decoding: bytes[magic.utf8.count..<end], as: UTF8.self))
    else { throw .notAnEnvelope }
    guard number == version else { throw .version(number) }
    let payload = bytes[(end + 1)...]
    guard !payload.isEmpty else { throw .empty }
    return Array(payload)
  }
}
