import CEPCheckpoint

/// The elements of a stored tensor in their order on disk, whatever their encoding.
struct StoredElements: Sendable {
  /// How bytes stand for elements.
  enum Encoding: Sendable {
    /// One number per one, two, four or eight bytes.
    case plain(epc_element, MappedBytes)
    /// 8-bit floats with a scale per block of each matrix.
    case blockScaled(epc_element, MappedBytes, BlockScales)
    /// Blocks of 32 4-bit floats in 16 bytes, and one 8-bit scale per block.
    case mxfp4(blocks: MappedBytes, scales: MappedBytes)
  }

  /// The name, as messages show it.
  let name: String
  /// The file of the values.
  let file: String
  let encoding: Encoding
  /// The sizes of the axes, counted in elements.
  let shape: [Int]

  /// Converts the elements `start ..< start + count`, which must exist, to float32.
  func decode(_ start: Int, count: Int, into destination: UnsafeMutablePointer<Float>) {
    let isDone =
      switch encoding {
      case .plain(let element, let bytes):
        unsafe Self.convert(element, bytes, start, count, destination)
      case .blockScaled(let element, let bytes, let scales):
        unsafe Self.convert(element, bytes, start, count, destination)
          && scales.apply(to: destination, start: start, count: count)
      case .mxfp4(let blocks, let scales):
        unsafe blocks.withBytes { blocks in
          unsafe scales.withBytes { scales in
            unsafe epc_mxfp4_to_f32(
              blocks.baseAddress, blocks.count, scales.baseAddress, scales.count, start,
              destination, count)
          }
        }
      }
    precondition(isDone, "the elements of '\(name)' were checked when it was resolved")
  }

  private static func convert(
    _ element: epc_element, _ bytes: MappedBytes, _ start: Int, _ count: Int,
    _ destination: UnsafeMutablePointer<Float>
  ) -> Bool {
    let width = epc_element_bytes(element)
    return unsafe bytes.withBytes { all in
      let run = unsafe UnsafeRawBufferPointer(
        rebasing: all[(start * width)..<((start + count) * width)])
      return unsafe epc_to_f32(element, run.baseAddress, run.count, destination, count)
    }
  }
}

/// One scale for each block of each matrix of a stored tensor `[..., height, width]`.
struct BlockScales: Sendable {
  let element: epc_element
  let bytes: MappedBytes
  let block: ScaleBlock
  /// The rows of a stored matrix.
  let height: Int
  /// The columns of a stored matrix.
  let width: Int

  /// The blocks above each other in a matrix, the last perhaps partial.
  var blockRows: Int { Self.blocks(height, block.rows) }
  /// The blocks beside each other in a matrix, the last perhaps partial.
  var blockColumns: Int { Self.blocks(width, block.columns) }

  /// The blocks that cover `size` elements.
  static func blocks(_ size: Int, _ block: Int) -> Int { size / block + (size % block > 0 ? 1 : 0) }

  /// Multiplies the elements `start ..< start + count` of the tensor by their scales.
  func apply(to values: UnsafeMutablePointer<Float>, start: Int, count: Int) -> Bool {
    unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: blockColumns) { scratch in
      guard let scales = scratch.baseAddress else { return false }
      var done = 0
      var isDone = true
      while done < count && isDone {
        let (line, column) = (start + done).quotientAndRemainder(dividingBy: width)
        let (matrix, row) = line.quotientAndRemainder(dividingBy: height)
        let run = min(count - done, width - column)
        let blocks = (column / block.columns)...((column + run - 1) / block.columns)
        let first = (matrix * blockRows + row / block.rows) * blockColumns + blocks.lowerBound
        unsafe isDone =
          read(first, count: blocks.count, into: scales)
          && epc_scale_columns(values + done, column, run, scales, blocks.count, block.columns)
        done += run
      }
      return isDone
    }
  }

  private func read(_ first: Int, count: Int, into scales: UnsafeMutablePointer<Float>) -> Bool {
    let width = epc_element_bytes(element)
    return unsafe bytes.withBytes { all in
      let run = unsafe UnsafeRawBufferPointer(
        rebasing: all[(first * width)..<((first + count) * width)])
      return unsafe epc_to_f32(element, run.baseAddress, run.count, scales, count)
    }
  }
}
