/// A weight whose place in a checkpoint is known and proven to fit.
///
/// It keeps its files open, may be read from several threads at once, and costs nothing until it is
/// read.
public struct StoredWeight: Sendable {
  /// How the checkpoint stores it.
  public let source: StoredTensor
  /// Its shape as the model sees it.
  public let shape: WeightShape

  /// The elements it is a part of: `[experts, sourceRows, columns]`, or with the last two swapped.
  let elements: StoredElements
  /// The rows of each stored matrix, of which `source.rows` selects some.
  let sourceRows: Int
  /// Whether the stored matrices are `[columns, sourceRows]`.
  let isTransposed: Bool

  /// Converts the elements of `slice` to float32, `[experts, rows, columns]` without gaps.
  ///
  /// Only the bytes that hold the slice are read; of a transposed tensor with interleaved rows those
  /// between them too.
  ///
  /// - Parameter buffer: as many values as the slice counts; another size is a programming error.
  /// - Throws: `CheckpointError.invalidSlice` if the slice is not inside `shape`, or what reading the
  ///   file throws.
  public func read(
    _ slice: WeightSlice, into buffer: UnsafeMutableBufferPointer<Float>
  ) throws(CheckpointError) {
    guard slice.isInside(shape) else {
      throw .invalidSlice(tensor: source.name, slice: slice, shape: shape)
    }
    precondition(buffer.count == slice.count, "the buffer has the size of the slice")
    guard slice.count > 0, var next = buffer.baseAddress else { return }
    for expert in slice.experts {
      if isTransposed {
        unsafe try readTransposed(expert, slice, into: next)
      } else {
        unsafe try readRows(expert, slice, into: next)
      }
      unsafe next += slice.rows.count * slice.columns.count
    }
  }

  /// All the elements of `slice`, `[experts, rows, columns]`.
  ///
  /// - Throws: `CheckpointError.invalidSlice` if the slice is not inside `shape`.
  public func values(_ slice: WeightSlice) throws(CheckpointError) -> [Float] {
    guard slice.isInside(shape) else {
      throw .invalidSlice(tensor: source.name, slice: slice, shape: shape)
    }
    var failure: CheckpointError?
    let values = unsafe [Float](unsafeUninitializedCapacity: slice.count) { buffer, count in
      do throws(CheckpointError) {
        unsafe try read(slice, into: UnsafeMutableBufferPointer(rebasing: buffer[..<slice.count]))
        count = slice.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return values
  }

  /// The stored row that is row `row` of the weight.
  func sourceRow(_ row: Int) -> Int { source.rows.firstRow + row * source.rows.step }
}
