/// How many slots each expert gets.
enum ReplicaCounts {
  /// Counts that make the largest piece (tokens over slots) as small as possible.
  ///
  /// Every expert starts with the given slots; each further slot goes to the expert whose pieces are
  /// then largest, up to `most` slots. Exact for the largest piece, by exchange. Where all are full
  /// the rest stays unassigned.
  static func smallestLargestPiece(
    weights: [Double], slots: Int, most: Int, start: [Int]? = nil
  ) -> [Int] {
    var counts = start ?? Array(repeating: 1, count: weights.count)
    var heap = KeyHeap(capacity: weights.count)
    for expert in weights.indices where counts[expert] < most {
      heap.push(-weights[expert] / Double(counts[expert]), expert)
    }
    var left = slots - counts.reduce(0, +)
    while left > 0, let top = heap.pop() {
      counts[top] += 1
      left -= 1
      if counts[top] < most { heap.push(-weights[top] / Double(counts[top]), top) }
    }
    return counts
  }
}
