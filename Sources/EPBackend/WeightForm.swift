/// A form in which a device keeps a weight: packed, converted, or both.
///
/// A weight is cut into matrices of `elements` reals, and each becomes `bytes` bytes; an expert has a
/// whole number of matrices. So experts can be made ready one by one, wherever they come from.
public struct WeightForm: Hashable, Sendable {
  /// What tells it from other forms of the same matrix: `bf16 panels`.
  public var name: String
  /// Rows of a matrix: outputs, or rows of a table.
  public var rows: Int
  /// Elements of a row.
  public var columns: Int
  /// Bytes of a matrix in this form, a multiple of 64.
  public var bytes: Int
  /// Rows that are made ready together: a matrix can be cut at multiples of it.
  public var rowsTogether: Int

  /// Describes a form; all rows are made ready together unless `rowsTogether` says otherwise.
  public init(name: String, rows: Int, columns: Int, bytes: Int, rowsTogether: Int? = nil) {
    self.name = name
    self.rows = rows
    self.columns = columns
    self.bytes = bytes
    self.rowsTogether = rowsTogether ?? max(rows, 1)
  }

  /// Reals of a matrix.
  public var elements: Int { rows * columns }
}

extension Device {
  /// Weights stay reals in the model's order unless a device says otherwise.
  public func form(ofOperand operand: Int, of kernel: Kernel) -> WeightForm? { nil }

  /// A device without forms is never asked.
  public func prepare(
    _ part: EncodedRows, rows: Range<Int>, as form: WeightForm, to result: Memory
  ) -> Bool {
    preconditionFailure("'\(name)' has no form '\(form.name)'")
  }
}
