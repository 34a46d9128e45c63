/// What experts were asked for, step after step, and what a cache that knew this from the start would
/// have had to read.
struct ExpertTrace {
  /// Uses that are kept; what comes later is not part of the comparison.
  static let limit = 1 << 22

  private var uses: [Int32] = []
  /// Where the uses of each step end.
  private var ends: [Int] = []
  /// Bytes of each expert, in memory and to read.
  private var bytes: [(held: Int, read: Int)] = []
  /// Whether there were more uses than are kept.
  private(set) var isCut = false

  /// Notes that experts are asked for in one step.
  ///
  /// - Parameters:
  ///   - first: the number of the first expert of the layer.
  ///   - slots: the layer's experts that are asked for.
  ///   - held: bytes of each of them in memory.
  ///   - read: bytes to read for each of them.
  mutating func add(first: Int, slots: [Int], held: Int, read: Int) {
    if isCut { return }
    if uses.count + slots.count > ExpertTrace.limit {
      isCut = true
      return
    }
    for slot in slots {
      let expert = first + slot
      if bytes.count <= expert {
        bytes += Array(repeating: (0, 0), count: expert + 1 - bytes.count)
      }
      bytes[expert] = (held, read)
      uses.append(Int32(expert))
    }
    ends.append(uses.count)
  }

  /// Bytes that the best of all caches reads: after every step it gives up what is needed last (Belady
  /// 1966, "A study of replacement algorithms for a virtual-storage computer"). What a step asks for can
  /// all be read before any of it goes, so with experts of one size no cache reads less.
  func leastReads(capacity: Int) -> Int {
    let never = Int.max
    var next = Array(repeating: never, count: uses.count)
    var seen = Array(repeating: never, count: bytes.count)
    for index in uses.indices.reversed() {
      next[index] = seen[Int(uses[index])]
      seen[Int(uses[index])] = index
    }
    // When each expert in memory is needed next.
    var awaited: [Int?] = Array(repeating: nil, count: bytes.count)
    var last = Heap()
    var (used, read, first) = (0, 0, 0)
    for end in ends {
      for index in first..<end {
        let expert = Int(uses[index])
        if awaited[expert] == nil {
          used += bytes[expert].held
          read += bytes[expert].read
        }
        awaited[expert] = next[index]
        last.push(next[index], expert)
      }
      first = end
      while used > capacity, let (time, expert) = last.pop() {
        // What has been used since has a later entry.
        guard awaited[expert] == time else { continue }
        awaited[expert] = nil
        used -= bytes[expert].held
      }
    }
    return read
  }
}

/// Pairs of a time and an expert, the latest time first.
private struct Heap {
  private var items: [(time: Int, expert: Int)] = []

  mutating func push(_ time: Int, _ expert: Int) {
    items.append((time, expert))
    var child = items.count - 1
    while child > 0, items[(child - 1) / 2].time < items[child].time {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> (time: Int, expert: Int)? {
    guard let top = items.first, let bottom = items.popLast() else { return nil }
    if items.isEmpty { return top }
    items[0] = bottom
    var parent = 0
    while true {
      var largest = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < items.count && items[child].time > items[largest].time {
        largest = child
      }
      if largest == parent { return top }
      items.swapAt(parent, largest)
      parent = largest
    }
  }
}
