/// The weights of a Hugging Face checkpoint: one safetensors file, or shards with an index.
///
/// All headers are read and proven when it is opened; the elements are read from the files when asked
/// for, so opening costs no memory for weights. Copies share the open files.
public struct Checkpoint: Sendable {
  /// The folder or the file it was opened from, as given.
  public let path: String
  /// All tensors of all files, by name.
  public let tensors: [String: TensorInfo]

  /// The files, in the order that `TensorInfo.fileIndex` counts.
  let files: [OpenFile]

  /// Opens a folder with `model.safetensors` or an index of shards, or one `.safetensors` file.
  ///
  /// - Parameter path: the folder or the file; `model.safetensors` comes before an index.
  /// - Throws: `CheckpointError` if a file cannot be opened, or its header or the index is not
  ///   valid in every detail, or index and shards disagree.
  public static func open(_ path: String) throws(CheckpointError) -> Checkpoint {
    guard try isFolder(path) else {
      return try Checkpoint(path: path, shards: [path])
    }
    let single = path + "/model.safetensors"
    if try exists(single) {
      return try Checkpoint(path: path, shards: [single])
    }
    let indexPath = path + "/model.safetensors.index.json"
    guard try exists(indexPath) else { throw .noCheckpoint(folder: path) }
    let index = try ShardIndex(path: indexPath)
    let checkpoint = try Checkpoint(
      path: path, shards: index.shards.map { "\(path)/\($0)" })
    try index.check(against: checkpoint.tensors)
    return checkpoint
  }

  private init(path: String, shards: [String]) throws(CheckpointError) {
    var files: [OpenFile] = []
    var tensors: [String: TensorInfo] = [:]
    for shard in shards {
      let file = try OpenFile(path: shard)
      let header = try SafetensorsHeader(file: file, fileIndex: files.count)
      for tensor in header.tensors {
        if let other = tensors.updateValue(tensor, forKey: tensor.name) {
          throw .duplicateTensor(
            tensor: tensor.name, file: tensor.file, otherFile: other.file)
        }
      }
      files.append(file)
    }
    self.path = path
    self.files = files
    self.tensors = tensors
  }

  /// The bytes of a tensor of this checkpoint.
  func bytes(of tensor: TensorInfo) -> FileBytes {
    FileBytes(
      file: files[tensor.fileIndex], fileIndex: tensor.fileIndex, range: tensor.bytes)
  }
}
