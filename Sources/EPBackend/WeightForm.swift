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

  /// Describes a form.
  public init(name: String, rows: Int, columns: Int, bytes: Int) {
    self.name = name
    self.rows = rows
    self.columns = columns
    self.bytes = bytes
  }

  /// Reals of a matrix.
  public var elements: Int { rows * columns }
}

extension Device {
  /// Weights stay reals in the model's order unless a device says otherwise.
  public func form(ofOperand operand: Int, of kernel: Kernel) -> WeightForm? { nil }

  /// Weights are all there unless a device says otherwise.
  public func takesSlots(_ kernel: Kernel) -> Bool { false }

  /// A device without forms is never asked.
  public func prepare(_ matrix: Memory, as form: WeightForm, to result: Memory) {
    preconditionFailure("'\(name)' has no form '\(form.name)'")
  }
}
