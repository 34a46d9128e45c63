/// Rows of a matrix as a checkpoint stores them, one after the other at equal distances; good during
/// the call that hands them over.
@safe
public struct EncodedRows {
  /// How elements stand for reals.
  public enum Encoding: Sendable {
    /// Little-endian floats of that many bits.
    case fp32, fp16
    /// The upper half of a 32-bit float.
    case bf16
    /// One sign, four exponent, three mantissa bits, with scales.
    case fp8
  }

  /// What 8-bit floats are multiplied by: a scale for each block of a matrix.
  public struct Scales: Sendable {
    /// The scales, row of blocks by row of blocks.
    public var values: [Float]
    /// How many there are in a row of blocks.
    public var stride: Int
    /// Rows of a block.
    public var blockRows: Int
    /// Columns of a block.
    public var blockColumns: Int
    /// The row of the first element, counted from that of the first scale.
    public var firstRow: Int
    /// The column of the first element, counted likewise.
    public var firstColumn: Int

    /// Describes scales.
    public init(
      values: [Float], stride: Int, blockRows: Int, blockColumns: Int, firstRow: Int,
      firstColumn: Int
    ) {
      self.values = values
      self.stride = stride
      self.blockRows = blockRows
      self.blockColumns = blockColumns
      self.firstRow = firstRow
      self.firstColumn = firstColumn
    }
  }

  /// How elements stand for reals.
  public let encoding: Encoding
  /// The first element of the first row, aligned to nothing.
  public let base: UnsafeRawPointer
  /// Bytes from a row to the next.
  public let stride: Int
  /// Scales, for `fp8`.
  public let scales: Scales?

  /// Describes rows.
  @unsafe
  public init(
    _ encoding: Encoding, at base: UnsafeRawPointer, stride: Int, scales: Scales? = nil
  ) {
    self.encoding = encoding
    unsafe self.base = unsafe base
    self.stride = stride
    self.scales = scales
  }
}

extension Device {
  /// Makes one matrix of a weight ready, out of row-major reals without gaps.
  ///
  /// - Returns: false where an element is a NaN or an infinity.
  @discardableResult
  public func prepare(reals: Memory, as form: WeightForm, to result: Memory) -> Bool {
    prepare(
      unsafe EncodedRows(.fp32, at: UnsafeRawPointer(reals.base), stride: 4 * form.columns),
      rows: 0..<form.rows, as: form, to: result)
  }
}
