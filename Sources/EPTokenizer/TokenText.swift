/// The text of a token, told apart by its bytes.
///
/// A `String` will not do as a key: two spellings of a letter are equal strings, but two tokens.
struct TokenText: Hashable, Sendable {
  let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }
  init(_ text: String) { self.bytes = Array(text.utf8) }
  init(_ scalars: some Sequence<Unicode.Scalar>) {
    self.bytes = scalars.flatMap { Array(UTF8.encode($0) ?? .init()) }
  }

  /// The text; what is not UTF-8 shows as U+FFFD.
  var string: String { String(decoding: bytes, as: UTF8.self) }
}
