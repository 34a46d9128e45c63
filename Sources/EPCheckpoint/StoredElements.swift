import CEPCheckpoint

/// The elements of a stored tensor in their order on disk, whatever their encoding.
struct StoredElements: Sendable {
  /// How bytes stand for elements.
  enum Encoding: Sendable {
    /// One number per one, two, four or eight bytes.
    case plain(epc_element, FileBytes)
    /// 8-bit floats with a scale per block of each matrix.
    case blockScaled(epc_element, FileBytes, BlockScales)
    /// Blocks of 32 4-bit floats in 16 bytes, and one 8-bit scale per block.
    case mxfp4(blocks: FileBytes, scales: FileBytes)
  }

  /// The name, as messages show it.
  let name: String
  /// The file of the values.
  let file: String
  let encoding: Encoding
  /// The sizes of the axes, counted in elements.
  let shape: [Int]

  /// Converts the elements `start ..< start + count`, which must exist, to float32.
  func decode(
    _ start: Int, count: Int, into destination: UnsafeMutablePointer<Float>
  ) throws(CheckpointError) {
    let isDone: Bool
    switch encoding {
    case .plain(let element, let bytes):
      isDone = unsafe try Self.convert(element, bytes, start, count, destination)
    case .blockScaled(let element, let bytes, let scales):
      let isConverted = unsafe try Self.convert(element, bytes, start, count, destination)
      let isScaled = unsafe try scales.apply(to: destination, start: start, count: count)
      isDone = isConverted && isScaled
    case .mxfp4(let blocks, let scales):
      let exponents = try unsafe scales.withBytes(Self.scaleBytes(start, count)) {
        unsafe [UInt8]($0)
      }
      isDone = unsafe try blocks.withBytes(Self.blockBytes(start, count)) { blocks in
        unsafe epc_mxfp4_to_f32(
          blocks.baseAddress, blocks.count, exponents, exponents.count, start % 32, destination,
          count)
      }
    }
    precondition(isDone, "the elements of '\(name)' were checked when it was resolved")
  }

  private static func convert(
    _ element: epc_element, _ bytes: FileBytes, _ start: Int, _ count: Int,
    _ destination: UnsafeMutablePointer<Float>
  ) throws(CheckpointError) -> Bool {
    let width = epc_element_bytes(element)
    return unsafe try bytes.withBytes((start * width)..<((start + count) * width)) { run in
      unsafe epc_to_f32(element, run.baseAddress, run.count, destination, count)
    }
  }

  /// The bytes of plain elements.
  static func bytes(_ element: epc_element, _ run: Range<Int>) -> Range<Int> {
    let width = epc_element_bytes(element)
    return (run.lowerBound * width)..<(run.upperBound * width)
  }

  /// The scales of MXFP4 elements, a byte for 32 of them.
  static func scaleBytes(_ start: Int, _ count: Int) -> Range<Int> {
    (start / 32)..<((start + count + 31) / 32)
  }

  /// The blocks of MXFP4 elements, 16 bytes for 32 of them.
  static func blockBytes(_ start: Int, _ count: Int) -> Range<Int> {
    let scales = scaleBytes(start, count)
    return (16 * scales.lowerBound)..<(16 * scales.upperBound)
  }
}

/// One scale for each block of each matrix of a stored tensor `[..., height, width]`.
struct BlockScales: Sendable {
  let element: epc_element
  let bytes: FileBytes
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

  /// The bytes of the scales from the first that a run of elements needs to the last.
  func bytes(of run: Range<Int>) -> Range<Int> {
    func scale(_ element: Int) -> Int {
      let (line, column) = element.quotientAndRemainder(dividingBy: width)
      let (matrix, row) = line.quotientAndRemainder(dividingBy: height)
      return (matrix * blockRows + row / block.rows) * blockColumns + column / block.columns
    }
    // A run of several rows may need all the scales of a row of blocks.
    let first = scale(run.lowerBound / width * width)
    let last = scale((run.upperBound - 1) / width * width + width - 1)
    let bytes = epc_element_bytes(element)
    return (first * bytes)..<((last + 1) * bytes)
  }

  /// Multiplies the elements `start ..< start + count` of the tensor by their scales.
  func apply(
    to values: UnsafeMutablePointer<Float>, start: Int, count: Int
  ) throws(CheckpointError) -> Bool {
    var scales: [Float] = []
    var known = -1
    var done = 0
    while done < count {
      let (line, column) = (start + done).quotientAndRemainder(dividingBy: width)
      let (matrix, row) = line.quotientAndRemainder(dividingBy: height)
      let run = min(count - done, width - column)
      let blocks = (column / block.columns)...((column + run - 1) / block.columns)
      let first = (matrix * blockRows + row / block.rows) * blockColumns + blocks.lowerBound
      // Rows of a block have the same.
      if first != known || scales.count != blocks.count {
        scales = try self.values(first, count: blocks.count)
        known = first
      }
      let isDone = unsafe epc_scale_columns(
        values + done, column, run, scales, blocks.count, block.columns)
      if !isDone { return false }
      done += run
    }
    return true
  }

  /// Scales in the order they are stored in, as reals.
  func values(_ first: Int, count: Int) throws(CheckpointError) -> [Float] {
    let width = epc_element_bytes(element)
    var values = [Float](repeating: 0, count: count)
    let isDone = try unsafe bytes.withBytes((first * width)..<((first + count) * width)) { run in
      unsafe epc_to_f32(element, run.baseAddress, run.count, &values, count)
    }
    precondition(isDone, "the scales were checked when the tensor was resolved")
    return values
  }
}
