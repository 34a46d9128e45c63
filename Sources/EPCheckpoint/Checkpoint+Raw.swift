import CEPCheckpoint

extension Checkpoint {
  /// Calls `body` with the bytes of a tensor as they are in the file.
  ///
  /// The bytes are little-endian, in row-major order, and good only during the call.
  ///
  /// - Throws: `CheckpointError.missingTensor`, or what reading the file throws.
  public func withBytes<Result>(
    of name: String, _ body: (UnsafeRawBufferPointer, TensorInfo) -> Result
  ) throws(CheckpointError) -> Result {
    guard let tensor = tensors[name] else { throw .missingTensor(tensor: name) }
    return unsafe try bytes(of: tensor).withBytes { unsafe body($0, tensor) }
  }

  /// The elements of an integer tensor, in row-major order.
  ///
  /// - Throws: `CheckpointError.missingTensor`, `.unreadableType` for any type but I8, I16, I32,
  ///   I64, U8, U16 and U32, or what reading the file throws.
  public func integers(_ name: String) throws(CheckpointError) -> [Int64] {
    guard let tensor = tensors[name] else { throw .missingTensor(tensor: name) }
    func load<Element: FixedWidthInteger & BitwiseCopyable>(
      _: Element.Type
    ) throws(CheckpointError) -> [Int64] {
      let width = MemoryLayout<Element>.size
      return unsafe try bytes(of: tensor).withBytes { bytes in
        stride(from: 0, to: bytes.count, by: width).map { offset in
          let element = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: Element.self)
          return Int64(Element(littleEndian: element))
        }
      }
    }
    switch tensor.type {
    case .int8: return try load(Int8.self)
    case .int16: return try load(Int16.self)
    case .int32: return try load(Int32.self)
    case .int64: return try load(Int64.self)
    case .uint8: return try load(UInt8.self)
    case .uint16: return try load(UInt16.self)
    case .uint32: return try load(UInt32.self)
    case .bool, .complex64, .float4, .float6E2M3, .float6E3M2, .float8E4M3, .float8E4M3FNUZ,
      .float8E5M2, .float8E5M2FNUZ, .float8E8M0, .float16, .bfloat16, .float32, .float64, .uint64:
      throw .unreadableType(
        tensor: name, file: tensor.file, type: tensor.type, wanted: "integers")
    }
  }
}
