public import EPJSON

extension HuggingFaceImport {
  /// Reads the text of a config as strictly as any JSON, but for one thing: Python writes
  /// `Infinity`, which stands in published configs; it is read as the largest number there is.
  public static func parse(bytes: [UInt8]) throws(JSONError) -> JSONValue {
    try JSONValue.parse(bytes: finite(bytes))
  }

  /// The text with `Infinity` outside strings replaced; nothing else changes.
  private static func finite(_ bytes: [UInt8]) -> [UInt8] {
    let word = Array("Infinity".utf8)
    if !bytes.contains(word[0]) { return bytes }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var inString = false
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      if inString && byte == UInt8(ascii: "\\") {
        result += bytes[index..<min(index + 2, bytes.count)]
        index += 2
        continue
      }
      if byte == UInt8(ascii: "\"") { inString.toggle() }
      if !inString && byte == word[0] && bytes[index...].starts(with: word) {
        result += Array("1.7976931348623157e308".utf8)
        index += word.count
        continue
      }
      result.append(byte)
      index += 1
    }
    return result
  }
}
