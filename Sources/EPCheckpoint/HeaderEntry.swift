import EPJSON

/// One tensor of a safetensors header, read but not yet proven.
struct HeaderEntry {
  let name: String
  /// The name of the type, known or not.
  let type: String
  /// The sizes of the axes, none negative.
  let shape: [Int]
  /// The first byte and the one after the last, counted from the start of the data.
  let begin, end: Int

  /// Reads the JSON text of a header; names are unique, since the reader refuses repeated keys.
  ///
  /// Keys of a tensor other than the three of the format are ignored, as other readers do.
  static func parse(
    _ text: [UInt8], path: String, name file: String
  ) throws(CheckpointError) -> [HeaderEntry] {
    let limits = JSONLimits(maxBytes: SafetensorsHeader.maximumLength, maxDepth: 4)
    let members: [(key: String, node: JSONNode)]
    do throws(JSONError) {
      members = try JSONNode(JSONValue.parse(bytes: text, limits: limits)).entries
      for (key, node) in members where key == "__metadata__" {
        for value in try node.entries { _ = try value.node.string() }
      }
    } catch {
      throw .malformed(file: path, problem: "\(error)")
    }
    var entries: [HeaderEntry] = []
    entries.reserveCapacity(members.count)
    for (key, node) in members where key != "__metadata__" {
      do throws(JSONError) {
        entries.append(try HeaderEntry(name: key, node))
      } catch {
        throw .malformedTensor(tensor: key, file: file, fault: .invalidField("\(error)"))
      }
    }
    return entries
  }

  private init(name: String, _ node: JSONNode) throws(JSONError) {
    self.name = name
    self.type = try node["dtype"].string(maxLength: 64)
    var shape: [Int] = []
    for size in try node["shape"].array(maxCount: 64) { shape.append(try size.int(in: 0...(.max))) }
    self.shape = shape
    let offsets = try node["data_offsets"].array(maxCount: 2)
    guard offsets.count == 2 else {
      throw try node["data_offsets"].fail("expected two offsets, found \(offsets.count)")
    }
    self.begin = try offsets[0].int(in: 0...(.max))
    self.end = try offsets[1].int(in: 0...(.max))
  }

  /// The type, if it is one of the format's.
  func elementType() throws(TensorFault) -> ElementType {
    guard let known = ElementType(rawValue: type) else { throw .unknownType(type) }
    return known
  }

  /// The bytes of the tensor, proven to lie in the data and to be as many as its shape needs.
  func checkedRange(dataLength: Int) throws(TensorFault) -> Range<Int> {
    let type = try elementType()
    guard let count = elementCount(shape) else { throw .tooManyElements(shape) }
    let (bits, overflow) = count.multipliedReportingOverflow(by: type.bits)
    guard !overflow else { throw .tooManyElements(shape) }
    guard bits % 8 == 0 else { throw .partialBytes(type, shape) }
    guard begin <= end, end <= dataLength else {
      throw .offsets(begin: begin, end: end, limit: dataLength)
    }
    guard end - begin == bits / 8 else {
      throw .byteCount(expected: bits / 8, found: end - begin)
    }
    return begin..<end
  }
}
