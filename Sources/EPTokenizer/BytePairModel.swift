/// A byte-pair vocabulary: the tokens, and which pairs of them merge in which order.
struct BytePairModel: Sendable {
  struct Pair: Hashable {
    let left, right: Int
  }

  struct Merge {
    /// The place in the list of merges; lower merges come first.
    let rank: Int
    /// The token that the pair becomes.
    let id: Int
  }

  /// The tokens by their text.
  let ids: [TokenText: Int]
  let merges: [Pair: Merge]
  /// The token for what is not in the vocabulary, if there is one.
  let unknown: Int?
  /// Whether unknown letters next to each other become one unknown token.
  let fusesUnknown: Bool
  /// The tokens of single bytes, for letters that are not in the vocabulary.
  let byteTokens: [Int]?
  /// Whether a piece that is a token is not built from merges.
  let prefersWholePieces: Bool

  /// The tokens of a piece.
  ///
  /// - Complexity: O(n log n) for n letters.
  func encode(_ piece: [Unicode.Scalar]) -> [Int] {
    if prefersWholePieces, let id = ids[TokenText(piece)] { return [id] }
    return merge(symbols(piece))
  }

  /// The token of each letter.
  private func symbols(_ piece: [Unicode.Scalar]) -> [Int] {
    var symbols: [Int] = []
    var isUnknown = false
    for scalar in piece {
      let text = TokenText(CollectionOfOne(scalar))
      if let id = ids[text] {
        symbols.append(id)
        isUnknown = false
      } else if let byteTokens {
        symbols += text.bytes.map { byteTokens[Int($0)] }
        isUnknown = false
      } else if let unknown {
        if !(isUnknown && fusesUnknown) { symbols.append(unknown) }
        isUnknown = true
      }
    }
    return symbols
  }

  /// Merges pairs, those of the lowest rank first and of one rank the leftmost.
  private func merge(_ symbols: [Int]) -> [Int] {
    guard symbols.count > 1 else { return symbols }
    var symbols = symbols
    // A linked list: a symbol merged into its left neighbour is -1 and skipped.
    var next = Array(1...symbols.count)
    var previous = Array(-1..<(symbols.count - 1))
    var queue = MergeQueue()
    func push(_ left: Int) {
      let right = next[left]
      guard right < symbols.count,
        let merge = merges[Pair(left: symbols[left], right: symbols[right])]
      else { return }
      queue.push(MergeQueue.Entry(rank: merge.rank, place: left, id: merge.id))
    }
    for place in 0..<(symbols.count - 1) { push(place) }
    while let best = queue.pop() {
      let left = best.place
      guard symbols[left] >= 0, next[left] < symbols.count else { continue }
      let right = next[left]
      // The pair may have changed since it was queued.
      guard let merge = merges[Pair(left: symbols[left], right: symbols[right])],
        merge.rank == best.rank, merge.id == best.id
      else { continue }
      symbols[left] = merge.id
      symbols[right] = -1
      next[left] = next[right]
      if next[right] < symbols.count { previous[next[right]] = left }
      if previous[left] >= 0 { push(previous[left]) }
      push(left)
    }
    return symbols.filter { $0 >= 0 }
  }
}

/// A binary heap of pairs to merge, the lowest rank and then the leftmost first.
private struct MergeQueue {
  struct Entry {
    let rank, place, id: Int

    func isBefore(_ other: Entry) -> Bool {
      (rank, place) < (other.rank, other.place)
    }
  }

  private var heap: [Entry] = []

  mutating func push(_ entry: Entry) {
    heap.append(entry)
    var child = heap.count - 1
    while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Entry? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
        if heap[child].isBefore(heap[least]) { least = child }
      }
      if least == parent { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
