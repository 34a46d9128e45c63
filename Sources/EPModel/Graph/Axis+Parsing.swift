extension Axis {
  /// Reads what `description` writes: `tokens`, `hidden:7168`, `heads:128@tensor`.
  public init(parsing text: String) throws(OpError) {
    for rows in [Axis.tokens, .ownTokens, .sampled, .routed] where text == rows.name {
      self = rows
      return
    }
    let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let parts = halves[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let size = Int(parts[1]), size > 0, size <= 1 << 40,
      !parts[0].isEmpty, parts[0].utf8.allSatisfy(Axis.isNameByte)
    else {
      throw OpError("'\(text)' is no axis; write 'name:size', 'name:size@tensor' or 'tokens'")
    }
    var split = Split.never
    if halves.count == 2 {
      guard let named = Split(rawValue: String(halves[1])), named != .never else {
        throw OpError("'\(text)' is no axis; after '@' comes 'tensor' or 'expert'")
      }
      split = named
    }
    self.init(String(parts[0]), size, split: split)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."),
      UInt8(ascii: "-"):
      return true
    default: return false
    }
  }
}
