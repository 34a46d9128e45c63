/// Seconds of steps on a grid of two sizes, in between by straight lines and beyond by the last ones.
struct StepTable {
  private let first: [Double]
  private let second: [Double]
  private let seconds: [Double]

  /// Fills the grid; nil where `seconds` has no answer for some point.
  init?(_ first: [Double], _ second: [Double], seconds: (Double, Double) -> Double?) {
    self.first = first
    self.second = second
    var filled: [Double] = []
    for x in first {
      for y in second {
        guard let value = seconds(x, y) else { return nil }
        filled.append(value)
      }
    }
    self.seconds = filled
  }

  /// Seconds at two sizes.
  func callAsFunction(_ x: Double, _ y: Double) -> Double {
    let (row, across) = StepTable.place(x, in: first)
    let (column, up) = StepTable.place(y, in: second)
    func at(_ row: Int, _ column: Int) -> Double {
      seconds[min(row, first.count - 1) * second.count + min(column, second.count - 1)]
    }
    let low = at(row, column) + up * (at(row, column + 1) - at(row, column))
    let high = at(row + 1, column) + up * (at(row + 1, column + 1) - at(row + 1, column))
    return max(low + across * (high - low), 1e-9)
  }

  /// The interval that holds a size, and where in it the size is; below the first, the first.
  private static func place(_ size: Double, in sizes: [Double]) -> (index: Int, share: Double) {
    if sizes.count < 2 || size <= sizes[0] { return (0, 0) }
    var index = 0
    while index < sizes.count - 2 && sizes[index + 1] <= size { index += 1 }
    return (index, (size - sizes[index]) / (sizes[index + 1] - sizes[index]))
  }
}
