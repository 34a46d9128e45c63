import CEPCheckpoint

/// Rows of a stored tensor, equally long and at equal distances: what a matrix is packed from without a
/// detour.
public struct RowRun: Sendable {
  /// How many rows.
  public let rows: Int
  /// Elements of a row.
  public let columns: Int
  let elements: StoredElements
  /// The first element of the first row, among those of the tensor.
  let first: Int
  /// Elements from a row to the next.
  let stride: Int

  /// Types of elements of which rows can be used as they are.
  public enum Encoding: Sendable {
    case fp32, fp16, bf16, fp8
  }

  /// Rows as they are in memory, good during a call.
  @safe
  public struct Encoded {
    /// The type of the elements.
    public let encoding: Encoding
    /// The first byte of the first row.
    public let base: UnsafeRawPointer
    /// Bytes from a row to the next.
    public let stride: Int
    /// What 8-bit floats are multiplied by, if they are.
    public let scales: Scales?
  }

  /// Scales of rows of 8-bit floats.
  public struct Scales: Sendable {
    /// Those of some rows of blocks, whole rows.
    public var values: [Float]
    /// How many there are in a row of blocks.
    public var stride: Int
    /// The elements of a block.
    public var block: ScaleBlock
    /// The row of the first element, counted from that of the first scale.
    public var firstRow: Int
    /// The column of the first element.
    public var firstColumn: Int
  }

  /// The stored elements from the first to the last of some rows.
  private func span(_ rows: Range<Int>) -> Range<Int> {
    (first + rows.lowerBound * stride)..<(first + (rows.upperBound - 1) * stride + columns)
  }

  /// The bytes that reading some rows touches, scales included, those between the rows too.
  public func ranges(of rows: Range<Int>) -> [FileRange] {
    rows.isEmpty ? [] : elements.ranges(of: span(rows))
  }

  private var encoding: Encoding? {
    switch elements.encoding {
    case .plain(EPC_ELEMENT_F32, _): .fp32
    case .plain(EPC_ELEMENT_F16, _): .fp16
    case .plain(EPC_ELEMENT_BF16, _): .bf16
    case .blockScaled(EPC_ELEMENT_F8_E4M3, _, _): .fp8
    case .plain, .blockScaled, .mxfp4: nil
    }
  }

  /// Whether rows can be used as they are, without being made reals first.
  public var isEncoded: Bool {
    switch elements.encoding {
    case .plain: return encoding != nil
    case .blockScaled(let element, _, let scales):
      // The rows are rows of one stored matrix.
      return element == EPC_ELEMENT_F8_E4M3 && stride == scales.width
        && first % scales.width + columns <= scales.width
        && first / scales.width % scales.height + rows <= scales.height
    case .mxfp4: return false
    }
  }

  /// Calls `body` with some of the rows as they are, which `isEncoded` must allow.
  ///
  /// - Throws: what reading the file throws, where they were not read before.
  public func withEncoded<Result>(
    _ rows: Range<Int>, from staged: StagedBytes?, _ body: (Encoded) -> Result
  ) throws(CheckpointError) -> Result {
    guard let encoding, isEncoded, !rows.isEmpty else {
      preconditionFailure("rows that are used as they are stored can be")
    }
    let elements = staged.map { self.elements.reading(from: $0) } ?? self.elements
    func encoded(
      _ element: epc_element, _ bytes: FileBytes, _ scales: Scales?
    ) throws(CheckpointError) -> Result {
      try unsafe bytes.withBytes(StoredElements.bytes(element, span(rows))) { bytes in
        guard let base = bytes.baseAddress else { preconditionFailure("rows have bytes") }
        return body(
          unsafe Encoded(
            encoding: encoding, base: base, stride: stride * epc_element_bytes(element),
            scales: scales))
      }
    }
    switch elements.encoding {
    case .plain(let element, let bytes): return try encoded(element, bytes, nil)
    case .blockScaled(let element, let bytes, let scales):
      let (line, column) = span(rows).lowerBound.quotientAndRemainder(dividingBy: scales.width)
      let (matrix, row) = line.quotientAndRemainder(dividingBy: scales.height)
      let blockRows = (row / scales.block.rows)...((row + rows.count - 1) / scales.block.rows)
      let firstScale = (matrix * scales.blockRows + blockRows.lowerBound) * scales.blockColumns
      return try encoded(
        element, bytes,
        Scales(
          values: try scales.values(firstScale, count: blockRows.count * scales.blockColumns),
          stride: scales.blockColumns, block: scales.block, firstRow: row % scales.block.rows,
          firstColumn: column))
    case .mxfp4: preconditionFailure("MXFP4 is not used as it is stored")
    }
  }

  /// Converts some of the rows to float32, without gaps.
  ///
  /// - Throws: what reading the file throws, where they were not read before.
  public func read(
    _ rows: Range<Int>, from staged: StagedBytes?, into destination: UnsafeMutablePointer<Float>
  ) throws(CheckpointError) {
    let elements = staged.map { self.elements.reading(from: $0) } ?? self.elements
    if stride == columns {
      unsafe try elements.decode(
        first + rows.lowerBound * stride, count: rows.count * columns, into: destination)
      return
    }
    for row in rows {
      unsafe try elements.decode(
        first + row * stride, count: columns,
        into: destination + (row - rows.lowerBound) * columns)
    }
  }
}

extension StoredWeight {
  /// Elements of an expert's matrix as rows of the tensor; nil where they are not rows at equal
  /// distances.
  ///
  /// - Parameters:
  ///   - runs: the elements, ascending, counted within the matrix.
  ///   - columns: of how many elements a row is to be; nil for rows of the matrix, as far as possible.
  public func rows(of runs: [Range<Int>], columns: Int? = nil, expert: Int) -> RowRun? {
    guard !isTransposed, let run = runs.first, !run.isEmpty else { return nil }
    let width = shape.columns
    let isPlain = source.rows.step == 1
    let distance = runs.count > 1 ? runs[1].lowerBound - run.lowerBound : 0
    for (index, other) in runs.enumerated() {
      guard other.count == run.count, other.lowerBound == run.lowerBound + index * distance else {
        return nil
      }
    }
    let origin =
      (expert * sourceRows + sourceRow(run.lowerBound / width)) * width + run.lowerBound % width
    func make(_ rows: Int, _ columns: Int, _ stride: Int) -> RowRun {
      RowRun(rows: rows, columns: columns, elements: elements, first: origin, stride: stride)
    }
    if runs.count > 1 {
      // Parts of rows.
      guard columns ?? run.count == run.count, distance % width == 0,
        run.lowerBound % width + run.count <= width
      else { return nil }
      return make(runs.count, run.count, distance / width * source.rows.step * width)
    }
    if !isPlain {
      guard columns ?? width == width, run.lowerBound % width == 0, run.count % width == 0 else {
        return nil
      }
      return make(run.count / width, width, source.rows.step * width)
    }
    let chosen = columns ?? (run.count % width == 0 ? width : run.count)
    return run.count % chosen == 0 ? make(run.count / chosen, chosen, chosen) : nil
  }
}
