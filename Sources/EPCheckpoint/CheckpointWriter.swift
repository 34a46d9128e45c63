import CEPCheckpoint
import EPJSON
import Glibc

/// Writes checkpoints that are larger than memory: tensors are described first and made piece by piece.
public struct CheckpointWriter {
  /// A tensor to be written.
  public struct Tensor: Sendable {
    /// The name, unique in the checkpoint.
    public var name: String
    /// The sizes of the axes.
    public var shape: [Int]

    /// Describes a tensor.
    public init(_ name: String, shape: [Int]) {
      self.name = name
      self.shape = shape
    }
  }

  /// The types that can be written.
  public enum Format: String, Sendable, CaseIterable {
    /// 32-bit floats.
    case fp32
    /// The upper half of a 32-bit float, rounded to the nearest, ties to even.
    case bf16

    var type: ElementType { self == .fp32 ? .float32 : .bfloat16 }
  }

  /// Makes elements of a tensor, from the first of the range on.
  public typealias Maker = (_ tensor: Int, Range<Int>, inout [Float]) -> Void

  private let tensors: [Tensor]
  private let format: Format
  private let shardBytes: Int

  /// A writer of tensors, in files of about `shardBytes` bytes.
  public init(_ tensors: [Tensor], format: Format, shardBytes: Int = 4 << 30) {
    self.tensors = tensors.sorted { $0.name < $1.name }
    self.format = format
    self.shardBytes = shardBytes
  }

  /// Tensors in the order in which they are written and made.
  public var order: [Tensor] { tensors }

  /// Writes the checkpoint to a folder, which is made if it is not there and may not hold a checkpoint. The
  /// index or the only file comes last, so that a folder whose writing was broken off holds none; what was
  /// written of one that could not be finished is removed.
  ///
  /// - Throws: `CheckpointError.existingCheckpoint`, `.system`, `.duplicateOutput`, `.reservedName` or
  ///   `.invalidShape`.
  public func write(to folder: String, _ make: Maker) throws(CheckpointError) {
    let shards = try self.shards()
    for name in ["model.safetensors", "model.safetensors.index.json"]
    where unsafe access("\(folder)/\(name)", F_OK) == 0 {
      throw .existingCheckpoint(folder: folder)
    }
    let isNew = unsafe mkdir(folder, 0o755) == 0
    if !isNew && errno != EEXIST {
      throw .system(operation: "create", file: folder, code: errno)
    }
    var written: [String] = []
    do throws(CheckpointError) {
      try write(shards, to: folder, &written, make)
    } catch {
      for path in written { unsafe _ = unlink(path) }
      if isNew { unsafe _ = rmdir(folder) }
      throw error
    }
  }

  /// Writes all files, and notes those that are whole.
  private func write(
    _ shards: [Range<Int>], to folder: String, _ written: inout [String], _ make: Maker
  ) throws(CheckpointError) {
    if shards.count == 1 {
      try write(shards[0], to: "\(folder)/model.safetensors", make)
      return
    }
    var map = JSONObject()
    for (number, shard) in shards.enumerated() {
      let name = "model-\(padded(number + 1))-of-\(padded(shards.count)).safetensors"
      try write(shard, to: "\(folder)/\(name)", make)
      written.append("\(folder)/\(name)")
      for index in shard { map[tensors[index].name] = .string(name) }
    }
    let path = "\(folder)/model.safetensors.index.json"
    do throws(JSONError) {
      var index = JSONObject()
      index["weight_map"] = .object(map)
      try JSONFile.write(try JSONValue.object(index).serialized(style: .pretty), to: path)
    } catch { throw .malformed(file: path, problem: error.description) }
  }

  private func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(5 - digits.count, 0)) + digits
  }

  private func bytes(_ index: Int) -> Int {
    (elementCount(tensors[index].shape) ?? 0) * format.type.bits / 8
  }

  /// Which tensors go to which file, in order.
  private func shards() throws(CheckpointError) -> [Range<Int>] {
    var shards: [Range<Int>] = []
    var start = 0
    var size = 0
    for (index, tensor) in tensors.enumerated() {
      if tensor.name == "__metadata__" { throw .reservedName(tensor: tensor.name) }
      if index > 0 && tensors[index - 1].name == tensor.name {
        throw .duplicateOutput(tensor: tensor.name)
      }
      guard let count = elementCount(tensor.shape), count <= Int.max / 8 else {
        throw .invalidShape(tensor: tensor.name, shape: tensor.shape)
      }
      if index > start && size + bytes(index) > shardBytes {
        shards.append(start..<index)
        (start, size) = (index, 0)
      }
      size += bytes(index)
    }
    shards.append(start..<tensors.count)
    return shards
  }

  private func write(
    _ shard: Range<Int>, to path: String, _ make: Maker
  ) throws(CheckpointError) {
    var header = JSONObject()
    var offset = 0
    for index in shard {
      header[tensors[index].name] = [
        "dtype": .string(format.type.rawValue),
        "shape": .array(tensors[index].shape.map { .int($0) }),
        "data_offsets": [.int(offset), .int(offset + bytes(index))],
      ]
      offset += bytes(index)
    }
    let text = try SafetensorsHeader.bytes(of: header, path: path)
    var output = try OutputFile(replacing: path)
    do throws(CheckpointError) {
      try output.write(text)
      for index in shard { try write(index, to: &output, make) }
    } catch {
      output.discard()
      throw error
    }
    try output.commit()
  }

  private func write(
    _ index: Int, to output: inout OutputFile, _ make: Maker
  ) throws(CheckpointError) {
    let count = elementCount(tensors[index].shape) ?? 0
    let piece = 1 << 20
    var values: [Float] = []
    var halves: [UInt16] = []
    for start in stride(from: 0, to: count, by: piece) {
      let range = start..<min(start + piece, count)
      if values.count != range.count { values = Array(repeating: 0, count: range.count) }
      make(index, range, &values)
      if format == .fp32 {
        try output.write(values)
        continue
      }
      if halves.count != range.count { halves = Array(repeating: 0, count: range.count) }
      unsafe epc_bf16_from_f32(values, values.count, &halves)
      try output.write(halves)
    }
  }
}
