/// Why a checkpoint could not be opened, resolved, read or written.
public enum CheckpointError: Error, Hashable, Sendable {
  /// The system refused an operation on the file; `code` is the value of `errno`.
  case system(operation: String, file: String, code: Int32)
  /// Bytes could not be read; `code` is the value of `errno`.
  case readFailed(file: String, offset: Int, code: Int32)
  /// The file has no byte `offset` any more, of the `length` that are needed of it.
  case endsEarly(file: String, offset: Int, length: Int)
  /// The folder has neither `model.safetensors` nor an index of shards.
  case noCheckpoint(folder: String)
  /// The path names something that is neither a file nor a folder.
  case notAFile(file: String)
  /// The file is too short for the eight bytes that give the length of the header.
  case tooShort(file: String, bytes: Int)
  /// The header would end past the end of the file, or is over the limit.
  case headerLength(file: String, length: UInt64, limit: Int)
  /// The header or the index is not the JSON that its format asks for.
  case malformed(file: String, problem: String)
  /// The header describes a tensor that cannot be.
  case malformedTensor(tensor: String, file: String, fault: TensorFault)
  /// The bytes before, between or after the tensors belong to none.
  case unusedBytes(file: String, range: Range<Int>)
  /// Two shards hold a tensor of the same name.
  case duplicateTensor(tensor: String, file: String, otherFile: String)
  /// The index names a shard that is not a plain `.safetensors` file name.
  case unsafeShardName(shard: String, file: String)
  /// The index places a tensor in a shard that does not hold it.
  case missingFromShard(tensor: String, shard: String, file: String)
  /// A shard holds a tensor that the index does not place there.
  case missingFromIndex(tensor: String, shard: String, file: String)

  /// No file of the checkpoint holds a tensor of that name.
  case missingTensor(tensor: String)
  /// The elements cannot be converted to the type asked for.
  case unreadableType(tensor: String, file: String, type: ElementType, wanted: String)
  /// The stored tensor does not have the elements of the weight in the order of the weight.
  case shapeMismatch(tensor: String, file: String, stored: [Int], expected: [Int])
  /// The weight asked for has a negative or zero axis, or more elements than an integer counts.
  case invalidShape(tensor: String, shape: [Int])
  /// The rows asked for are not rows of the stored tensor.
  case invalidRows(tensor: String, rows: RowSelection, expected: Int)
  /// The slice asked for is not inside the weight.
  case invalidSlice(tensor: String, slice: WeightSlice, shape: WeightShape)
  /// A 4- or 8-bit tensor has no tensor of scales.
  case missingScales(tensor: String, file: String, scales: String)
  /// The shape of a tensor of scales is not the one that goes with the values.
  case scaleShape(tensor: String, file: String, stored: [Int], expected: [Int])

  /// The folder to be written to holds a checkpoint.
  case existingCheckpoint(folder: String)
  /// Two tensors of the same name were to be written.
  case duplicateOutput(tensor: String)
  /// The format keeps the name for itself.
  case reservedName(tensor: String)
  /// The values to be written do not fill the shape.
  case valueCount(tensor: String, shape: [Int], values: Int)
}

/// What is wrong with one entry of a safetensors header.
public enum TensorFault: Hashable, Sendable {
  case unknownType(String)
  case invalidField(String)
  case tooManyElements([Int])
  case partialBytes(ElementType, [Int])
  case byteCount(expected: Int, found: Int)
  case offsets(begin: Int, end: Int, limit: Int)
  case overlap(other: String)
}
