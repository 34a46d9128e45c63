internal import EPJSON

extension ExpertLoads {
  /// Reads a text with a line for each layer and a number for each expert, separated by commas.
  ///
  /// Empty lines and lines that begin with `#` are skipped.
  public init(csv bytes: [UInt8], source: String, firstLayer: Int = 0) throws(PlacementError) {
    var rows: [[Double]] = []
    var reader = NumberReader(bytes: bytes, source: source)
    while let row = try reader.row() {
      if let first = rows.first, first.count != row.count {
        throw .malformed(
          source: source, line: reader.line, column: 1,
          reason: "\(row.count) experts, the first layer has \(first.count)")
      }
      rows.append(row)
    }
    if rows.isEmpty {
      throw .malformed(source: source, line: 1, column: 1, reason: "there are no loads")
    }
    try self.init(rows: rows, firstLayer: firstLayer)
  }

  /// Reads a file: JSON when its name ends in `.json`, comma-separated numbers otherwise.
  public init(file path: String, firstLayer: Int = 0) throws(PlacementError) {
    let bytes: [UInt8]
    do { bytes = try JSONFile.read(path) } catch { throw .file(error.description) }
    if path.hasSuffix(".json") {
      try self.init(json: bytes, source: path)
    } else {
      try self.init(csv: bytes, source: path, firstLayer: firstLayer)
    }
  }
}

/// Reads rows of numbers and knows where it is.
private struct NumberReader {
  let bytes: [UInt8]
  let source: String
  /// The line of the last row, from 1.
  private(set) var line = 0
  private var next = 0

  init(bytes: [UInt8], source: String) {
    self.bytes = bytes
    self.source = source
  }

  mutating func row() throws(PlacementError) -> [Double]? {
    while next < bytes.count {
      let end = bytes[next...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      let content = bytes[next..<end]
      next = end + 1
      line += 1
      let trimmed = trim(content)
      if trimmed.isEmpty || trimmed.first == UInt8(ascii: "#") { continue }
      return try numbers(content)
    }
    return nil
  }

  private func numbers(_ content: ArraySlice<UInt8>) throws(PlacementError) -> [Double] {
    var result: [Double] = []
    var start = content.startIndex
    while true {
      let end = content[start...].firstIndex(of: UInt8(ascii: ",")) ?? content.endIndex
      let field = trim(content[start..<end])
      guard let number = number(field) else {
        let text = String(decoding: field.prefix(24), as: UTF8.self)
        throw .malformed(
          source: source, line: line, column: field.startIndex - content.startIndex + 1,
          reason: field.isEmpty
            ? "a number of tokens is missing"
            : "'\(text)' is no number of tokens: not negative, at most 1e15")
      }
      result.append(number)
      if end == content.endIndex { return result }
      start = end + 1
    }
  }

  private func number(_ field: ArraySlice<UInt8>) -> Double? {
    if !field.isEmpty && field.count <= 15 {
      var value = 0
      var isPlain = true
      for byte in field {
        let digit = Int(byte) - 48
        if digit < 0 || digit > 9 {
          isPlain = false
          break
        }
        value = value * 10 + digit
      }
      if isPlain { return Double(value) }
    }
    let text = String(decoding: field, as: UTF8.self)
    guard field.count <= 64, let value = Double(text), value >= 0, value <= 1e15 else { return nil }
    return value
  }

  private func trim(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let isSpace = { (byte: UInt8) in byte == 32 || byte == 9 || byte == 13 }
    var rest = bytes
    while let last = rest.last, isSpace(last) { rest.removeLast() }
    while let first = rest.first, isSpace(first) { rest.removeFirst() }
    return rest
  }
}
