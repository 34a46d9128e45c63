import Glibc

extension CheckpointError: CustomStringConvertible {
  /// One sentence that names the file and the tensor.
  public var description: String {
    switch self {
    case .system(let operation, let file, let code):
      "cannot \(operation) '\(file)': \(unsafe String(cString: strerror(code)))"
        + (operation == "open" && code == EACCES
          ? "; allow this user to read it ('chmod +r') and to enter its folder ('chmod +x')" : "")
    case .readFailed(let file, let offset, let code):
      "cannot read '\(file)' at byte \(offset): \(unsafe String(cString: strerror(code)))"
    case .endsEarly(let file, let offset, let length):
      "'\(file)' was cut off since it was opened: byte \(offset) is gone, \(length) are needed"
    case .noCheckpoint(let folder):
      "'\(folder)' has neither 'model.safetensors' nor 'model.safetensors.index.json'"
    case .notAFile(let file):
      "'\(file)' is not a regular file"
    case .tooShort(let file, let bytes):
      "'\(file)' has \(bytes) bytes, too few for a safetensors header"
    case .headerLength(let file, let length, let limit):
      "'\(file)' announces a header of \(length) bytes, but \(limit) is the most it can have"
    case .malformed(let file, let problem):
      "'\(file)' is malformed: \(problem)"
    case .malformedTensor(let tensor, let file, let fault):
      "tensor '\(tensor)' in '\(file)' \(fault)"
    case .unusedBytes(let file, let range):
      "bytes \(range.lowerBound) to \(range.upperBound) of the data in '\(file)' belong to no tensor"
    case .duplicateTensor(let tensor, let file, let otherFile):
      "tensor '\(tensor)' is in both '\(otherFile)' and '\(file)'"
    case .unsafeShardName(let shard, let file):
      "'\(file)' names the shard '\(shard)', which is not a plain .safetensors file name"
    case .missingFromShard(let tensor, let shard, let file):
      "'\(file)' places tensor '\(tensor)' in '\(shard)', which does not hold it"
    case .missingFromIndex(let tensor, let shard, let file):
      "tensor '\(tensor)' in '\(shard)' is not placed there by '\(file)'"
    case .missingTensor(let tensor):
      "the checkpoint has no tensor '\(tensor)'"
    case .unreadableType(let tensor, let file, let type, let wanted):
      "tensor '\(tensor)' in '\(file)' has type \(type.rawValue), which cannot be read as \(wanted)"
    case .shapeMismatch(let tensor, let file, let stored, let expected):
      "tensor '\(tensor)' in '\(file)' has shape \(stored), but the model needs \(expected)"
    case .invalidShape(let tensor, let shape):
      "tensor '\(tensor)' cannot have the shape \(shape)"
    case .invalidRows(let tensor, let rows, let expected):
      "tensor '\(tensor)' cannot give \(expected) rows by \(rows)"
    case .invalidSlice(let tensor, let slice, let shape):
      "tensor '\(tensor)' of \(shape) has no slice \(slice)"
    case .missingScales(let tensor, let file, let scales):
      "tensor '\(tensor)' in '\(file)' is quantised, but the checkpoint has no scales '\(scales)'"
    case .scaleShape(let tensor, let file, let stored, let expected):
      "scales '\(tensor)' in '\(file)' have shape \(stored), but the values need \(expected)"
    case .existingCheckpoint(let folder):
      "'\(folder)' holds a checkpoint already; give another folder, or remove that one"
    case .duplicateOutput(let tensor):
      "tensor '\(tensor)' is already among those to be written"
    case .reservedName(let tensor):
      "'\(tensor)' cannot be the name of a tensor, since the format reserves it"
    case .valueCount(let tensor, let shape, let values):
      "tensor '\(tensor)' of shape \(shape) cannot hold \(values) values"
    }
  }
}

extension TensorFault: CustomStringConvertible {
  /// The predicate of a sentence whose subject is the tensor.
  public var description: String {
    switch self {
    case .unknownType(let type): "has the unknown type '\(type)'"
    case .invalidField(let problem): "is malformed: \(problem)"
    case .tooManyElements(let shape): "has the shape \(shape), which is too large"
    case .partialBytes(let type, let shape):
      "of type \(type.rawValue) and shape \(shape) does not fill whole bytes"
    case .byteCount(let expected, let found):
      "needs \(expected) bytes for its type and shape, but its offsets hold \(found)"
    case .offsets(let begin, let end, let limit):
      "has the data offsets [\(begin), \(end)], which do not lie in the \(limit) bytes of data"
    case .overlap(let other): "overlaps tensor '\(other)'"
    }
  }
}
