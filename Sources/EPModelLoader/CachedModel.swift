/// The result of a successful load, as it is kept in the cache.
struct CachedModel {
  private static let kind = "models"

  let payload: [UInt8]
  let diagnostics: String
  let printed: String

  init(payload: [UInt8], diagnostics: String, printed: String) {
    self.payload = payload
    self.diagnostics = diagnostics
    self.printed = printed
  }

  /// Reads the entry of a key; nil on a miss, and a damaged entry is one.
  init?(reading key: LoadKey, from cache: CacheDirectory) {
    guard let bytes = cache.read(Self.kind, key.digest),
      let end = bytes.firstIndex(of: UInt8(ascii: "\n"))
    else { return nil }
    // "<bytes of diagnostics> <bytes of printed>\n", then those two, then the payload.
    let sizes = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ").map { Int($0) }
    guard sizes.count == 2, let first = sizes[0], let second = sizes[1], first >= 0, second >= 0
    else { return nil }
    let rest = bytes[(end + 1)...]
    guard first <= rest.count, second <= rest.count - first else { return nil }
    diagnostics = String(decoding: rest.prefix(first), as: UTF8.self)
    printed = String(decoding: rest.dropFirst(first).prefix(second), as: UTF8.self)
    payload = Array(rest.dropFirst(first + second))
  }

  /// Writes the entry of a key.
  func write(as key: LoadKey, to cache: CacheDirectory) {
    let head = "\(diagnostics.utf8.count) \(printed.utf8.count)\n\(diagnostics)\(printed)"
    cache.write(Self.kind, key.digest, Array(head.utf8) + payload)
  }
}
