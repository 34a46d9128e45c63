/// How a checkpoint stores a weight: which tensor, which way round, and which of its rows.
///
/// A weight is `[rows, columns]`, or `[experts, rows, columns]`. On disk it can be a tensor of
/// the same elements in the same order, under any split of the axes (`[1, 16]` for `[16]`,
/// `[heads * size, hidden]` for `[heads, size, hidden]`), or a part of a larger one:
///
///     StoredTensor("model.layers.0.mlp.experts.7.up_proj.weight")          // one per expert
///     StoredTensor("...input_linear.weight", rows: .range(24, count: 24, of: 48))  // granitemoe
///     StoredTensor("...gate_up_proj", transposed: true, rows: .interleaved(1, of: 2))  // gpt-oss
///
/// Where `name` is absent but `<name>_blocks` and `<name>_scales` are there, the weight is read
/// from those as MXFP4; they are never transposed, whatever the plain tensor is.
public struct StoredTensor: Hashable, Sendable {
  /// The name on disk, with the number of the expert already in place if each has its own.
  public var name: String
  /// Whether the plain tensor has rows last, `[..., columns, rows]`; undone before `rows` apply.
  public var isTransposed: Bool
  /// Which rows of the stored tensor are the rows of the weight.
  public var rows: RowSelection
  /// The block that shares one scale of `<name>_scale_inv`, in elements as they are stored.
  ///
  /// Nil reads an 8-bit float tensor as it is, without scales.
  public var scaleBlock: ScaleBlock?

  /// Describes the tensor `name`; by default all of it, as it is, in blocks of 128 by 128.
  public init(
    _ name: String, transposed: Bool = false, rows: RowSelection = .all,
    scaleBlock: ScaleBlock? = ScaleBlock(rows: 128, columns: 128)
  ) {
    self.name = name
    self.isTransposed = transposed
    self.rows = rows
    self.scaleBlock = scaleBlock
  }
}

/// Which rows of a stored tensor make up a weight; row r of the weight comes from...
public enum RowSelection: Hashable, Sendable {
  /// row r.
  case all
  /// row `start + r`, out of `count` from there; the stored tensor has `total`.
  case range(_ start: Int, count: Int, of: Int)
  /// row `r * count + index`.
  case interleaved(_ index: Int, of: Int)
}

/// The elements of a stored matrix that share one scale.
public struct ScaleBlock: Hashable, Sendable {
  /// Rows of the matrix as stored; the last block of a matrix may have fewer.
  public var rows: Int
  /// Columns of the matrix as stored; the last block of a row may have fewer.
  public var columns: Int

  /// A block of `rows` by `columns`, both at least 1.
  public init(rows: Int, columns: Int) {
    precondition(rows >= 1 && columns >= 1, "a scale block has at least one row and one column")
    self.rows = rows
    self.columns = columns
  }
}

extension RowSelection: CustomStringConvertible {
  /// The selection in words.
  public var description: String {
    switch self {
    case .all: "taking all rows"
    case .range(let start, let count, let total):
      "taking \(count) of \(total) rows from row \(start)"
    case .interleaved(let index, let count): "taking every \(count)th row from row \(index)"
    }
  }
}
