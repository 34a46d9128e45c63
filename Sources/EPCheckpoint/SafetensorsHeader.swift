/// The header of a safetensors file, proven against the file it is in.
///
/// A file is eight bytes of length, that many of JSON, and the data; the data is covered by the
/// tensors without overlaps or holes.
struct SafetensorsHeader {
  /// The longest header accepted, in bytes, as the reference implementation has it.
  static let maximumLength = 100_000_000

  /// The tensors in the order of their data.
  let tensors: [TensorInfo]

  /// Reads and proves the header of a file.
  init(file: OpenFile, fileIndex: Int) throws(CheckpointError) {
    try self.init(
      byteCount: file.byteCount, path: file.path, name: file.name, fileIndex: fileIndex
    ) { (range) throws(CheckpointError) in try file.bytes(range) }
  }

  /// Reads and proves the header of a file of `byteCount` bytes.
  ///
  /// - Parameters:
  ///   - path: the file, for messages about it.
  ///   - name: the file, for messages about tensors in it.
  ///   - read: some of the bytes, which the file has.
  init(
    byteCount: Int, path: String, name: String, fileIndex: Int,
    read: (Range<Int>) throws(CheckpointError) -> [UInt8]
  ) throws(CheckpointError) {
    guard byteCount >= 8 else { throw .tooShort(file: path, bytes: byteCount) }
    let length = try read(0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let limit = min(byteCount - 8, Self.maximumLength)
    guard length <= limit else { throw .headerLength(file: path, length: length, limit: limit) }
    let dataStart = 8 + Int(length)
    let dataLength = byteCount - dataStart
    let entries = try HeaderEntry.parse(try read(8..<dataStart), path: path, name: name)
    var tensors: [TensorInfo] = []
    tensors.reserveCapacity(entries.count)
    for entry in entries {
      do throws(TensorFault) {
        let range = try entry.checkedRange(dataLength: dataLength)
        tensors.append(
          TensorInfo(
            name: entry.name, type: try entry.elementType(), shape: entry.shape, file: name,
            fileIndex: fileIndex,
            bytes: (dataStart + range.lowerBound)..<(dataStart + range.upperBound)))
      } catch {
        throw .malformedTensor(tensor: entry.name, file: name, fault: error)
      }
    }
    tensors.sort {
      ($0.bytes.lowerBound, $0.bytes.upperBound, $0.name)
        < ($1.bytes.lowerBound, $1.bytes.upperBound, $1.name)
    }
    try Self.checkCoverage(tensors, dataStart: dataStart, dataLength: dataLength, path: path)
    self.tensors = tensors
  }

  /// Each tensor begins where the one before ended, the last ends with the file.
  private static func checkCoverage(
    _ tensors: [TensorInfo], dataStart: Int, dataLength: Int, path: String
  ) throws(CheckpointError) {
    var end = dataStart
    var previous = ""
    for tensor in tensors {
      if tensor.bytes.lowerBound < end {
        throw .malformedTensor(
          tensor: tensor.name, file: tensor.file, fault: .overlap(other: previous))
      }
      if tensor.bytes.lowerBound > end {
        throw .unusedBytes(
          file: path, range: (end - dataStart)..<(tensor.bytes.lowerBound - dataStart))
      }
      end = tensor.bytes.upperBound
      previous = tensor.name
    }
    guard end == dataStart + dataLength else {
      throw .unusedBytes(file: path, range: (end - dataStart)..<dataLength)
    }
  }
}

extension TensorFault: Error {}
