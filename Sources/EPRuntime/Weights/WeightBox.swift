internal import EPModel
internal import EPPlan

/// The elements of one matrix of a weight, or of one expert's, that a rank holds.
struct WeightBox {
  /// Sizes of the whole, without the axis of experts.
  var sizes: [Int]
  /// What is held along each axis.
  var ranges: [Range<Int>]

  init(_ slice: WeightSlice) {
    let skipped = slice.axes.first?.split == .expert ? 1 : 0
    sizes = slice.axes.dropFirst(skipped).map { $0.size ?? 1 }
    ranges = Array(slice.ranges.dropFirst(skipped))
  }

  /// Elements held.
  var count: Int { ranges.reduce(1) { $0 * $1.count } }

  /// Elements of the whole.
  var wholeCount: Int { sizes.reduce(1, *) }

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
