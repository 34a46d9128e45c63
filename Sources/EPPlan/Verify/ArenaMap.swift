internal import EPIR

/// Who has each byte of an arena, as places that do not overlap.
struct ArenaMap {
  private struct Place {
    var start: Int
    var end: Int
    /// Values and the operations that write them; several where one is the other's view.
    var holders: [(value: Int, writer: Int)]
  }

  /// Ascending, without overlap.
  private var places: [Place] = []

  /// Gives bytes to a value and returns who had any of them, each once; a holder that `shares` the
  /// bytes stays and is not returned.
  mutating func replace(
    _ buffer: ShardedFunction.Buffer, by value: Int, number: Int, shares: (Int) -> Bool
  ) -> [(value: Int, writer: Int)] {
    if buffer.bytes <= 0 { return [] }
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if places[middle].end > buffer.offset { high = middle } else { low = middle + 1 }
    }
    let first = low
    while low < places.count && places[low].start < buffer.end { low += 1 }
    var made: [Place] = []
    var before: [(value: Int, writer: Int)] = []
    var seen: Set<Int> = []
    var kept: [(value: Int, writer: Int)] = []
    for place in places[first..<low] {
      for holder in place.holders where seen.insert(holder.value).inserted {
        if shares(holder.value) { kept.append(holder) } else { before.append(holder) }
      }
    }
    if first < low, places[first].start < buffer.offset {
      var left = places[first]
      left.end = buffer.offset
      made.append(left)
    }
    made.append(
      Place(start: buffer.offset, end: buffer.end, holders: kept + [(value, number)]))
    if first < low, places[low - 1].end > buffer.end {
      var right = places[low - 1]
      right.start = buffer.end
      made.append(right)
    }
    places.replaceSubrange(first..<low, with: made)
    return before
  }
}
