extension SeededGenerator {
  /// A few bytes changed, removed, repeated or cut off.
  public mutating func damaged(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0...below(3) where !bytes.isEmpty {
      let place = below(bytes.count)
      let length = min(1 + below(16), bytes.count - place)
      switch below(6) {
      case 0: bytes[place] = UInt8(truncatingIfNeeded: next())
      case 1: bytes.removeSubrange(place..<(place + length))
      case 2: bytes.insert(contentsOf: bytes[place..<(place + length)], at: place)
      case 3: bytes[place] = pick(Array("0123456789-%@$[]{}:,\"".utf8))
      case 4:
        bytes.insert(contentsOf: Array(repeating: UInt8(ascii: "9"), count: length), at: place)
      default: if once(in: 4) { bytes.removeLast(bytes.count - place) }
      }
    }
    return bytes
  }
}
