/// How much a reader accepts before it refuses a document.
public struct JSONLimits: Hashable, Sendable {
  /// The deepest nesting that can be asked for, and the deepest that is written.
  ///
  /// Reading, writing and freeing a value recurse once per level, so this bounds the stack.
  public static let deepest: Int = 512

  /// The largest text that can be asked for: json-c counts bytes in 32 bits.
  public static let largest: Int = Int(Int32.max) - 1

  /// The longest text in bytes.
  public let maxBytes: Int
  /// The most arrays and objects that may be open at once.
  public let maxDepth: Int

  /// Makes limits; values out of `1...largest` and `1...deepest` are brought into them.
  ///
  /// json-c holds about 14 times the text while it parses, so 64 MiB of text cost about 1 GiB.
  public init(maxBytes: Int = 64 << 20, maxDepth: Int = 128) {
    self.maxBytes = min(max(maxBytes, 1), Self.largest)
    self.maxDepth = min(max(maxDepth, 1), Self.deepest)
  }
}
