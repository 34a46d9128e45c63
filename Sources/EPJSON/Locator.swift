/// Says where an offset lies in a text; used only once something is wrong, so it may be slow.
///
/// The text before the offset must have passed the lexer.
struct Locator {
  let bytes: [UInt8]

  /// One open array or object, and how far into it the scan is.
  private enum Frame {
    case object(key: Range<Int>?)
    case array(index: Int)
  }

  /// Turns a fault into the error that callers see.
  func error(for fault: Fault) -> JSONError {
    var line = 1
    var column = 1
    for byte in bytes[..<min(fault.offset, bytes.count)] {
      if byte == 0x0A {
        line += 1
        column = 1
      } else if byte & 0xC0 != 0x80 {
        column += 1
      }
    }
    var path = JSONPath.root
    for frame in scan(0..<(fault.pathOffset ?? fault.offset), onKey: { _, _ in true }) {
      switch frame {
      case .object(let key?): path = .key(.init(path), decode(key))
      case .object(nil): break
      case .array(let index): path = .index(.init(path), index)
      }
    }
    return JSONError(path: "\(path)", message: fault.message, line: line, column: column)
  }

  /// The first key of the object at `offset` that equals an earlier one.
  func duplicateKey(inObjectAt offset: Int) -> Fault {
    var seen: Set<String> = []
    var fault = Fault("duplicate key", at: offset)
    _ = scan(offset..<bytes.count) { depth, key in
      if depth > 1 || seen.insert(decode(key)).inserted { return true }
      fault = Fault("duplicate key", at: key.lowerBound, pathAt: key.upperBound)
      return false
    }
    return fault
  }

  /// Follows the structure of a range until its end, the end of the value that it begins with, or
  /// until `onKey(depth, key)` returns false; returns what is open there.
  private func scan(_ range: Range<Int>, onKey: (Int, Range<Int>) -> Bool) -> [Frame] {
    var frames: [Frame] = []
    var offset = range.lowerBound
    while offset < range.upperBound {
      switch bytes[offset] {
      case UInt8(ascii: "{"): frames.append(.object(key: nil))
      case UInt8(ascii: "["): frames.append(.array(index: 0))
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        _ = frames.popLast()
        if frames.isEmpty { return frames }
      case UInt8(ascii: ","):
        switch frames.last {
        case .object: frames[frames.count - 1] = .object(key: nil)
        case .array(let index): frames[frames.count - 1] = .array(index: index + 1)
        case nil: break
        }
      case UInt8(ascii: "\""):
        let end = endOfString(at: offset)
        if end > range.upperBound { return frames }
        if case .object(nil) = frames.last {
          frames[frames.count - 1] = .object(key: offset..<end)
          if !onKey(frames.count, offset..<end) { return frames }
        }
        offset = end
        continue
      default: break
      }
      offset += 1
    }
    return frames
  }

  private func endOfString(at start: Int) -> Int {
    var offset = start + 1
    while offset < bytes.count && bytes[offset] != UInt8(ascii: "\"") {
      offset += bytes[offset] == UInt8(ascii: "\\") ? 2 : 1
    }
    return offset + 1
  }

  private func decode(_ key: Range<Int>) -> String {
    guard
      case .string(let text)? = try? JSONValue.tokenize(
        bytes, key, depth: 1, objects: [], isASCII: true)
    else { return "" }
    return text
  }
}
