/// Some bytes of one of a checkpoint's files.
public struct FileRange: Hashable, Sendable {
  /// Which of the checkpoint's files, as `TensorInfo.fileIndex` counts.
  let file: Int
  /// Which bytes, from the start of the file.
  let bytes: Range<Int>

  /// How many bytes.
  public var count: Int { bytes.count }
}

extension [FileRange] {
  /// The same bytes in as few ranges as there can be, by file and place. Holes up to `gap` bytes are
  /// filled, since a disk reads over them faster than it begins anew.
  public func joined(gap: Int = 64 << 10) -> [FileRange] {
    var result: [FileRange] = []
    let ordered = filter { !$0.bytes.isEmpty }.sorted {
      ($0.file, $0.bytes.lowerBound, $0.bytes.upperBound)
        < ($1.file, $1.bytes.lowerBound, $1.bytes.upperBound)
    }
    for range in ordered {
      if let last = result.last, last.file == range.file,
        range.bytes.lowerBound - last.bytes.upperBound <= gap
      {
        result[result.count - 1] = FileRange(
          file: last.file,
          bytes: last.bytes.lowerBound..<Swift.max(last.bytes.upperBound, range.bytes.upperBound))
      } else {
        result.append(range)
      }
    }
    return result
  }
}

extension StoredWeight {
  /// The bytes that reading a slice touches, scales included.
  ///
  /// Of a slice that is not one run of elements these are the bytes from its first element to its
  /// last, those between among them.
  ///
  /// - Throws: `CheckpointError.invalidSlice` if the slice is not inside `shape`.
  public func ranges(of slice: WeightSlice) throws(CheckpointError) -> [FileRange] {
    guard slice.isInside(shape) else {
      throw .invalidSlice(tensor: source.name, slice: slice, shape: shape)
    }
    if slice.count == 0 { return [] }
    return slice.experts.flatMap { elements.ranges(of: span(ofExpert: $0, slice)) }
  }

  /// The stored elements from the first to the last that an expert's part of a slice needs.
  func span(ofExpert expert: Int, _ slice: WeightSlice) -> Range<Int> {
    let (first, last) = (slice.rows.lowerBound, slice.rows.upperBound - 1)
    if isTransposed {
      let start = expert * shape.columns
      return
        ((start + slice.columns.lowerBound) * sourceRows + sourceRow(first))..<((start
        + slice.columns.upperBound - 1) * sourceRows + sourceRow(last) + 1)
    }
    let start = expert * sourceRows
    return
      ((start + sourceRow(first)) * shape.columns + slice.columns.lowerBound)..<((start
      + sourceRow(last)) * shape.columns + slice.columns.upperBound)
  }

  /// The same weight, read from where some of its bytes were read to.
  public func reading(from staged: StagedBytes) -> StoredWeight {
    StoredWeight(
      source: source, shape: shape, elements: elements.reading(from: staged),
      sourceRows: sourceRows, isTransposed: isTransposed)
  }
}

extension StoredElements {
  /// The bytes that decoding a run of elements touches.
  func ranges(of run: Range<Int>) -> [FileRange] {
    switch encoding {
    case .plain(let element, let bytes):
      return [bytes.place(Self.bytes(element, run))]
    case .blockScaled(let element, let bytes, let scales):
      return [bytes.place(Self.bytes(element, run)), scales.bytes.place(scales.bytes(of: run))]
    case .mxfp4(let blocks, let scales):
      return [
        blocks.place(Self.blockBytes(run.lowerBound, run.count)),
        scales.place(Self.scaleBytes(run.lowerBound, run.count)),
      ]
    }
  }

  func reading(from staged: StagedBytes) -> StoredElements {
    func moved(_ bytes: FileBytes) -> FileBytes {
      var copy = bytes
      copy.staged = staged
      return copy
    }
    let encoding: Encoding
    switch self.encoding {
    case .plain(let element, let bytes): encoding = .plain(element, moved(bytes))
    case .blockScaled(let element, let bytes, let scales):
      encoding = .blockScaled(
        element, moved(bytes),
        BlockScales(
          element: scales.element, bytes: moved(scales.bytes), block: scales.block,
          height: scales.height, width: scales.width))
    case .mxfp4(let blocks, let scales):
      encoding = .mxfp4(blocks: moved(blocks), scales: moved(scales))
    }
    return StoredElements(name: name, file: file, encoding: encoding, shape: shape)
  }
}
