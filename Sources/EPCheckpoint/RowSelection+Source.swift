extension RowSelection {
  /// How many rows the stored tensor must have to give `rows`; nil if there is no such number.
  func sourceRows(for rows: Int) -> Int? {
    switch self {
    case .all: return rows
    case .range(let start, let count, let total):
      guard count == rows, start >= 0, start <= total - count else { return nil }
      return total
    case .interleaved(let index, let count):
      guard count >= 1, (0..<count).contains(index) else { return nil }
      let (product, overflow) = rows.multipliedReportingOverflow(by: count)
      return overflow ? nil : product
    }
  }

  /// The stored row that holds row 0 of the weight.
  var firstRow: Int {
    switch self {
    case .all: 0
    case .range(let start, _, _): start
    case .interleaved(let index, _): index
    }
  }

  /// The distance between the stored rows of two rows that follow each other.
  var step: Int {
    switch self {
    case .all, .range: 1
    case .interleaved(_, let count): count
    }
  }
}
