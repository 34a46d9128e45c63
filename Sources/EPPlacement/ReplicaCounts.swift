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

/// A binary min-heap of items by key; equal keys leave the lower item first.
struct KeyHeap {
  private var keys: [Double] = []
  private var items: [Int] = []

  init(capacity: Int) {
    keys.reserveCapacity(capacity)
    items.reserveCapacity(capacity)
  }

  var isEmpty: Bool { items.isEmpty }

  mutating func removeAll() {
    keys.removeAll(keepingCapacity: true)
    items.removeAll(keepingCapacity: true)
  }

  mutating func push(_ key: Double, _ item: Int) {
    keys.append(key)
    items.append(item)
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if !precedes(key, item, keys[parent], items[parent]) { break }
      keys[child] = keys[parent]
      items[child] = items[parent]
      child = parent
    }
    keys[child] = key
    items[child] = item
  }

  mutating func pop() -> Int? {
    guard let top = items.first, let key = keys.popLast(), let item = items.popLast() else {
      return nil
    }
    let count = items.count
    if count == 0 { return top }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= count { break }
      if child + 1 < count && precedes(keys[child + 1], items[child + 1], keys[child], items[child])
      {
        child += 1
      }
      if !precedes(keys[child], items[child], key, item) { break }
      keys[parent] = keys[child]
      items[parent] = items[child]
      parent = child
    }
    keys[parent] = key
    items[parent] = item
    return top
  }

  private func precedes(_ a: Double, _ i: Int, _ b: Double, _ j: Int) -> Bool {
    a < b || (a == b && i < j)
  }
}
