import EPJSON

/// Collects tensors and writes them as one safetensors file; the same tensors give the same bytes.
///
/// Tensors lie in the order of their names, whatever the order they were added in, so a 64-bit
/// element may start at any multiple of four bytes.
public struct SafetensorsWriter: Sendable {
  private var entries: [String: Entry] = [:]
  private let metadata: [String: String]

  /// A writer without tensors yet.
  ///
  /// - Parameter metadata: free text that the header carries under `__metadata__`.
  public init(metadata: [String: String] = [:]) { self.metadata = metadata }

  /// Adds an F32 tensor of row-major `values`.
  ///
  /// - Throws: `CheckpointError.valueCount`, `.duplicateOutput` or `.reservedName`.
  public mutating func add(
    _ name: String, shape: [Int], _ values: [Float]
  ) throws(CheckpointError) {
    try add(name, Entry(type: .float32, shape: shape, elements: .float32(values)))
  }

  /// Adds an I32 tensor of row-major `values`.
  ///
  /// - Throws: `CheckpointError.valueCount`, `.duplicateOutput` or `.reservedName`.
  public mutating func add(
    _ name: String, shape: [Int], _ values: [Int32]
  ) throws(CheckpointError) {
    try add(name, Entry(type: .int32, shape: shape, elements: .int32(values)))
  }

  /// Adds an I64 tensor of row-major `values`.
  ///
  /// - Throws: `CheckpointError.valueCount`, `.duplicateOutput` or `.reservedName`.
  public mutating func add(
    _ name: String, shape: [Int], _ values: [Int64]
  ) throws(CheckpointError) {
    try add(name, Entry(type: .int64, shape: shape, elements: .int64(values)))
  }

  /// Writes the file whole or not at all: readers see the old file or the new one.
  ///
  /// - Throws: `CheckpointError.system`, or `.malformed` if the names do not make a header.
  public func write(to path: String) throws(CheckpointError) {
    let sorted = entries.sorted { $0.key < $1.key }
    let header = try headerBytes(sorted, path: path)
    var output = try OutputFile(replacing: path)
    do throws(CheckpointError) {
      try output.write(header)
      for (_, entry) in sorted { try entry.write(to: &output) }
    } catch {
      output.discard()
      throw error
    }
    try output.commit()
  }

  private mutating func add(_ name: String, _ entry: Entry) throws(CheckpointError) {
    guard elementCount(entry.shape) == entry.count else {
      throw .valueCount(tensor: name, shape: entry.shape, values: entry.count)
    }
    guard name != "__metadata__" else { throw .reservedName(tensor: name) }
    guard entries.updateValue(entry, forKey: name) == nil else {
      throw .duplicateOutput(tensor: name)
    }
  }

  /// The header of a file with these tensors.
  private func headerBytes(
    _ sorted: [(key: String, value: Entry)], path: String
  ) throws(CheckpointError) -> [UInt8] {
    var header = JSONObject()
    if !metadata.isEmpty {
      var texts = JSONObject()
      for (key, text) in metadata.sorted(by: { $0.key < $1.key }) { texts[key] = .string(text) }
      header["__metadata__"] = .object(texts)
    }
    var offset = 0
    for (name, entry) in sorted {
      let end = offset + entry.count * entry.type.bits / 8
      header[name] = [
        "dtype": .string(entry.type.rawValue), "shape": .array(entry.shape.map { .int($0) }),
        "data_offsets": [.int(offset), .int(end)],
      ]
      offset = end
    }
    return try SafetensorsHeader.bytes(of: header, path: path)
  }
}

extension SafetensorsHeader {
  /// The length and the JSON text, padded with spaces so that the data starts at a multiple of 8.
  static func bytes(of header: JSONObject, path: String) throws(CheckpointError) -> [UInt8] {
    do throws(JSONError) {
      var text = try JSONValue.object(header).serialized()
      while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
      return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
    } catch {
      throw .malformed(file: path, problem: "\(error)")
    }
  }
}

/// The values of one tensor to be written.
private struct Entry: Sendable {
  enum Elements {
    case float32([Float])
    case int32([Int32])
    case int64([Int64])
  }

  let type: ElementType
  let shape: [Int]
  let elements: Elements

  var count: Int {
    switch elements {
    case .float32(let values): values.count
    case .int32(let values): values.count
    case .int64(let values): values.count
    }
  }

  func write(to output: inout OutputFile) throws(CheckpointError) {
    switch elements {
    case .float32(let values): try output.write(values)
    case .int32(let values): try output.write(values)
    case .int64(let values): try output.write(values)
    }
  }
}
