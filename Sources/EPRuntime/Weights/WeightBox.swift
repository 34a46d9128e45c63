internal import EPCheckpoint
internal import EPModel
internal import EPPlan

/// The elements of one matrix of a weight, or of one expert's, that a rank holds.
struct WeightBox {
  /// Sizes of the whole, without the axis of experts.
  var sizes: [Int]
  /// What is held along each axis.
  var ranges: [Range<Int>]

  init(_ slice: EPPlan.WeightSlice) {
    let skipped = slice.axes.first?.split == .expert ? 1 : 0
    sizes = slice.axes.dropFirst(skipped).map { $0.size ?? 1 }
    ranges = Array(slice.ranges.dropFirst(skipped))
  }

  /// Elements held.
  var count: Int { ranges.reduce(1) { $0 * $1.count } }

  /// Elements of the whole.
  var wholeCount: Int { sizes.reduce(1, *) }

  /// The smallest box of whole rows and columns that holds an expert's elements.
  func bounds(of shape: WeightShape, expert: Int) -> EPCheckpoint.WeightSlice {
    let runs = self.runs
    let width = max(shape.columns, 1)
    let (first, last) = (runs.first?.lowerBound ?? 0, runs.last?.upperBound ?? 0)
    let rows = (first / width)..<((last + width - 1) / width)
    // Only where each run is a part of one row is not all of the rows needed.
    let isWithinRows = runs.allSatisfy { $0.lowerBound / width == ($0.upperBound - 1) / width }
    let columns =
      isWithinRows
      ? (runs.map { $0.lowerBound % width }.min() ?? 0)..<((runs.map {
        ($0.upperBound - 1) % width
      }.max() ?? -1) + 1) : 0..<width
    return EPCheckpoint.WeightSlice(
      experts: expert..<(expert + 1), rows: rows, columns: columns)
  }

  /// The elements held, in order, as runs within the whole.
  var runs: [Range<Int>] {
    // Axes that are held whole at the end make the runs longer.
    var tail = sizes.count
    while tail > 0 && ranges[tail - 1] == 0..<sizes[tail - 1] { tail -= 1 }
    let inner = sizes[tail...].reduce(1, *)
    if tail == 0 { return [0..<inner] }
    var starts = [0]
    for axis in 0..<(tail - 1) {
      let stride = sizes[(axis + 1)..<tail].reduce(inner, *)
      starts = starts.flatMap { start in ranges[axis].map { start + $0 * stride } }
    }
    let last = ranges[tail - 1]
    return starts.map {
      ($0 + last.lowerBound * inner)..<($0 + last.upperBound * inner)
    }
  }
}
