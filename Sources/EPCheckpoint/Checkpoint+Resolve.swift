extension Checkpoint {
  /// Finds the place of a weight and proves that it fits, without reading any of it.
  ///
  /// - Returns: the weight, to be read slice by slice.
  /// - Throws: `CheckpointError` if a tensor is missing, of a type that is not a number, of a
  ///   shape that does not go with `shape` and `source`, or quantised without scales that fit.
  public func resolve(
    _ source: StoredTensor, as shape: WeightShape
  ) throws(CheckpointError) -> StoredWeight {
    let axes = (shape.expertCount.map { [$0] } ?? []) + shape.dimensions
    guard axes.allSatisfy({ $0 >= 1 }), elementCount(axes) != nil else {
      throw .invalidShape(tensor: source.name, shape: axes)
    }
    guard let sourceRows = source.rows.sourceRows(for: shape.rows) else {
      throw .invalidRows(tensor: source.name, rows: source.rows, expected: shape.rows)
    }
    let elements: StoredElements
    let isTransposed: Bool
    if let tensor = tensors[source.name] {
      elements = try plainOrScaled(tensor, block: source.scaleBlock)
      isTransposed = source.isTransposed
    } else {
      elements = try mxfp4(source.name)
      isTransposed = false
    }
    let expected = shape.stored(rows: sourceRows, transposed: isTransposed)
    guard isReshape(elements.shape, expected) else {
      throw .shapeMismatch(
        tensor: elements.name, file: elements.file, stored: elements.shape, expected: expected)
    }
    return StoredWeight(
      source: source, shape: shape, elements: elements, sourceRows: sourceRows,
      isTransposed: isTransposed)
  }

  /// Reads a slice of a weight to float32; `resolve` once and `StoredWeight.read` for several.
  ///
  /// - Throws: what `resolve` and `StoredWeight.read` throw.
  public func read(
    _ source: StoredTensor, as shape: WeightShape, slice: WeightSlice,
    into buffer: UnsafeMutableBufferPointer<Float>
  ) throws(CheckpointError) {
    unsafe try resolve(source, as: shape).read(slice, into: buffer)
  }

  private func plainOrScaled(
    _ tensor: TensorInfo, block: ScaleBlock?
  ) throws(CheckpointError) -> StoredElements {
    guard let element = tensor.type.conversion else { throw unreadable(tensor, as: "weights") }
    let encoding: StoredElements.Encoding
    if tensor.type.isScaled, let block {
      encoding = .blockScaled(element, bytes(of: tensor), try scales(of: tensor, block: block))
    } else {
      encoding = .plain(element, bytes(of: tensor))
    }
    return StoredElements(
      name: tensor.name, file: tensor.file, encoding: encoding, shape: tensor.shape)
  }

  /// The scales that go with an 8-bit tensor, as DeepSeek-V3 stores them.
  private func scales(
    of tensor: TensorInfo, block: ScaleBlock
  ) throws(CheckpointError) -> BlockScales {
    let name = tensor.name + "_scale_inv"
    guard let scales = tensors[name] else {
      throw .missingScales(tensor: tensor.name, file: tensor.file, scales: name)
    }
    guard let element = scales.type.conversion, !scales.type.isScaled else {
      throw unreadable(scales, as: "scales")
    }
    // A vector has one row.
    let width = tensor.shape.last ?? 1
    let height = tensor.shape.dropLast().last ?? 1
    let result = BlockScales(
      element: element, bytes: bytes(of: scales), block: block, height: height, width: width)
    let expected = Array(tensor.shape.dropLast(2)) + [result.blockRows, result.blockColumns]
    guard scales.shape == expected else {
      throw .scaleShape(
        tensor: name, file: scales.file, stored: scales.shape, expected: expected)
    }
    return result
  }

  /// The blocks and scales of an MXFP4 tensor, as gpt-oss stores them.
  private func mxfp4(_ name: String) throws(CheckpointError) -> StoredElements {
    guard let blocks = tensors[name + "_blocks"] else { throw .missingTensor(tensor: name) }
    guard let scales = tensors[name + "_scales"] else {
      throw .missingScales(tensor: blocks.name, file: blocks.file, scales: name + "_scales")
    }
    guard blocks.type == .uint8 else { throw unreadable(blocks, as: "MXFP4 blocks") }
    guard scales.type == .uint8 || scales.type == .float8E8M0 else {
      throw unreadable(scales, as: "MXFP4 scales")
    }
    guard let packed = blocks.shape.last, packed == 16, let perRow = blocks.shape.dropLast().last,
      case let (columns, overflow) = perRow.multipliedReportingOverflow(by: 32), !overflow
    else {
      throw .shapeMismatch(
        tensor: blocks.name, file: blocks.file, stored: blocks.shape,
        expected: Array(blocks.shape.dropLast()) + [16])
    }
    let expected = Array(blocks.shape.dropLast())
    guard scales.shape == expected else {
      throw .scaleShape(
        tensor: scales.name, file: scales.file, stored: scales.shape, expected: expected)
    }
    return StoredElements(
      name: blocks.name, file: blocks.file,
      encoding: .mxfp4(blocks: bytes(of: blocks), scales: bytes(of: scales)),
      shape: expected.dropLast() + [columns])
  }

  private func unreadable(_ tensor: TensorInfo, as wanted: String) -> CheckpointError {
    .unreadableType(tensor: tensor.name, file: tensor.file, type: tensor.type, wanted: wanted)
  }
}
