import CEPCheckpoint

/// The place of one element of a weight.
public struct WeightElement: Hashable, Sendable {
  /// The expert, 0 for a weight without an axis of experts.
  public let expert: Int
  /// The row within the expert.
  public let row: Int
  /// The column within the row.
  public let column: Int
  /// What is stored there, converted.
  public let value: Float
}

extension StoredWeight {
  /// The first NaN or infinity of `slice` in the order of the weight, nil if all is finite.
  ///
  /// - Throws: `CheckpointError.invalidSlice` if the slice is not inside `shape`.
  /// - Complexity: reads the slice once, in pieces of about a megabyte.
  public func firstNonFinite(in slice: WeightSlice) throws(CheckpointError) -> WeightElement? {
    guard slice.isInside(shape) else {
      throw .invalidSlice(tensor: source.name, slice: slice, shape: shape)
    }
    guard slice.count > 0 else { return nil }
    let width = slice.columns.count
    let rowsAtOnce = max(1, 262_144 / width)
    for expert in slice.experts {
      for row in stride(from: slice.rows.lowerBound, to: slice.rows.upperBound, by: rowsAtOnce) {
        let rows = row..<min(row + rowsAtOnce, slice.rows.upperBound)
        let values = try values(
          WeightSlice(experts: expert..<expert + 1, rows: rows, columns: slice.columns))
        let index = unsafe values.withUnsafeBufferPointer {
          unsafe epc_first_non_finite($0.baseAddress, $0.count)
        }
        if index < values.count {
          return WeightElement(
            expert: expert, row: row + index / width,
            column: slice.columns.lowerBound + index % width, value: values[index])
        }
      }
    }
    return nil
  }
}
