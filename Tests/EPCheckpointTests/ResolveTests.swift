import Testing

@testable import EPCheckpoint

/// Opens a file of the entries; the folder must outlive the checkpoint only until it is mapped.
private func open(_ entries: [RawEntry]) throws -> Checkpoint {
  let folder = try TemporaryFolder()
  return try Checkpoint.open(folder.write("r.safetensors", safetensors(entries)))
}

private func message(_ checkpoint: Checkpoint, _ source: StoredTensor, _ shape: WeightShape)
  -> String
{
  do throws(CheckpointError) {
    _ = try checkpoint.resolve(source, as: shape)
    return ""
  } catch {
    return error.description
  }
}

@Suite struct ResolveTests {
  @Test func aMissingTensorIsNamed() throws {
    let checkpoint = try open([RawEntry("w", [1], [1])])
    #expect(
      message(checkpoint, StoredTensor("v"), WeightShape([1]))
        == "the checkpoint has no tensor 'v'")
  }

  @Test func aMisshapenTensorIsNamedWithBothShapes() throws {
    let checkpoint = try open([RawEntry("w", [2, 3], [Float](repeating: 1, count: 6))])
    #expect(
      message(checkpoint, StoredTensor("w"), WeightShape([3, 2]))
        == "tensor 'w' in 'r.safetensors' has shape [2, 3], but the model needs [3, 2]")
    #expect(message(checkpoint, StoredTensor("w", transposed: true), WeightShape([3, 2])) == "")
    #expect(
      message(checkpoint, StoredTensor("w", rows: .range(0, count: 1, of: 4)), WeightShape([1, 3]))
        == "tensor 'w' in 'r.safetensors' has shape [2, 3], but the model needs [4, 3]")
  }

  @Test func impossibleRequestsAreRefused() throws {
    let checkpoint = try open([RawEntry("w", [2, 3], [Float](repeating: 1, count: 6))])
    let selections: [RowSelection] = [
      .range(1, count: 2, of: 2), .range(-1, count: 2, of: 2), .range(0, count: 1, of: 2),
      .interleaved(2, of: 2), .interleaved(0, of: 0), .interleaved(-1, of: 2),
      .interleaved(0, of: .max),
    ]
    for rows in selections {
      #expect(message(checkpoint, StoredTensor("w", rows: rows), WeightShape([2, 3])) != "")
    }
    for shape in [[0], [-2, -3], [.max, .max]] {
      #expect(message(checkpoint, StoredTensor("w"), WeightShape(shape)).contains("cannot have"))
    }
    let shape = WeightShape([2, 3])
    let weight = try checkpoint.resolve(StoredTensor("w"), as: shape)
    for slice in [
      WeightSlice(rows: 0..<3, columns: 0..<3), WeightSlice(rows: -1..<1, columns: 0..<3),
      WeightSlice(experts: 1..<2, rows: 0..<1, columns: 0..<1),
    ] {
      #expect(throws: CheckpointError.self) { try weight.values(slice) }
      #expect(throws: CheckpointError.self) { try weight.firstNonFinite(in: slice) }
    }
  }

  @Test func eightBitFloatsNeedScalesThatFit() throws {
    let weight = RawEntry("w", "F8_E4M3", [130, 2], [UInt8](repeating: 0, count: 260))
    let shape = WeightShape([130, 2])
    #expect(
      message(try open([weight]), StoredTensor("w"), shape)
        == "tensor 'w' in 'r.safetensors' is quantised, "
        + "but the checkpoint has no scales 'w_scale_inv'")
    #expect(
      message(try open([weight, RawEntry("w_scale_inv", [1, 1], [1])]), StoredTensor("w"), shape)
        == "scales 'w_scale_inv' in 'r.safetensors' have shape [1, 1], "
        + "but the values need [2, 1]")
    let whole = try open([weight, RawEntry("w_scale_inv", [2, 1], [1, 2])])
    #expect(message(whole, StoredTensor("w"), shape) == "")
    #expect(message(try open([weight]), StoredTensor("w", scaleBlock: nil), shape) == "")
  }

  @Test func mxfp4NeedsBlocksAndScalesThatFit() throws {
    let blocks = RawEntry("w_blocks", "U8", [2, 1, 16], [UInt8](repeating: 0, count: 32))
    let shape = WeightShape([2, 32])
    func scales(_ type: String, _ shape: [Int]) -> RawEntry {
      let bytes = shape.reduce(1, *) * (type == "F32" ? 4 : 1)
      return RawEntry("w_scales", type, shape, [UInt8](repeating: 127, count: bytes))
    }
    #expect(message(try open([blocks, scales("U8", [2, 1])]), StoredTensor("w"), shape) == "")
    #expect(
      message(try open([blocks]), StoredTensor("w"), shape).contains("no scales 'w_scales'"))
    #expect(
      message(try open([blocks, scales("U8", [1, 2])]), StoredTensor("w"), shape)
        .contains("have shape [1, 2]"))
    #expect(
      message(try open([blocks, scales("F32", [2, 1])]), StoredTensor("w"), shape)
        .contains("has type F32, which cannot be read as MXFP4 scales"))
    let narrow = RawEntry("w_blocks", "U8", [2, 2, 8], [UInt8](repeating: 0, count: 32))
    #expect(
      message(try open([narrow, scales("U8", [2, 2])]), StoredTensor("w"), shape)
        .contains("has shape [2, 2, 8]"))
  }

  @Test func rawBytesAndIntegersAreAsStored() throws {
    let checkpoint = try open([
      RawEntry("b", "U8", [1], [9]), RawEntry("i", "I32", [2], [1, 0, 0, 0, 255, 255, 255, 255]),
      RawEntry("f", [1], [2]),
    ])
    #expect(try checkpoint.integers("i") == [1, -1])
    #expect(try checkpoint.integers("b") == [9])
    #expect(throws: CheckpointError.self) { try checkpoint.integers("f") }
    let bytes = try unsafe checkpoint.withBytes(of: "i") { bytes, info in
      #expect(info.type == .int32 && info.shape == [2])
      return unsafe [UInt8](bytes)
    }
    #expect(bytes == [1, 0, 0, 0, 255, 255, 255, 255])
    #expect(throws: CheckpointError.missingTensor(tensor: "g")) { try checkpoint.integers("g") }
  }
}
