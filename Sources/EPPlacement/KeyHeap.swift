/// A binary min-heap of items by key; equal keys leave the lower item first.
struct KeyHeap {
  private struct Entry {
    var key: Double
    var item: Int

    func precedes(_ other: Entry) -> Bool {
      key < other.key || (key == other.key && item < other.item)
    }
  }

  private var entries: [Entry] = []

  init(capacity: Int) { entries.reserveCapacity(capacity) }

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func push(_ key: Double, _ item: Int) {
    let entry = Entry(key: key, item: item)
    entries.append(entry)
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if !entry.precedes(entries[parent]) { break }
      entries[child] = entries[parent]
      child = parent
    }
    entries[child] = entry
  }

  mutating func pop() -> Int? {
    guard let top = entries.first, let entry = entries.popLast() else { return nil }
    let count = entries.count
    if count == 0 { return top.item }
    var parent = 0
    while true {
      var child = 2 &* parent &+ 1
      if child >= count { break }
      if child &+ 1 < count && entries[child &+ 1].precedes(entries[child]) { child &+= 1 }
      if !entries[child].precedes(entry) { break }
      entries[parent] = entries[child]
      parent = child
    }
    entries[parent] = entry
    return top.item
  }
}
