extension LayerState {
  /// Swaps experts between the fullest rank and others while that lowers it, until no rank is above
  /// `target` or `limit` swaps were made.
  ///
  /// A swap after which both ranks are at most `target` is taken as soon as it is seen, the emptiest
  /// ranks first; else the one after which the fuller of the two is emptiest.
  mutating func exchange(until target: Double, limit: Int) {
    var order = Array(0..<ranks)
    let key = load
    order.sort { key[$0] < key[$1] || (key[$0] == key[$1] && $0 < $1) }
    var size = slots.map { pieces[$0] }
    for _ in 0..<limit {
      let rank = order[ranks - 1]
      if load[rank] <= target { return }
      guard let (own, other) = bestExchange(of: rank, order, size, target) else { return }
      exchange(own, other)
      size.swapAt(own, other)
      restore(&order)
    }
  }

  /// Sorts what is nearly sorted.
  private func restore(_ order: inout [Int]) {
    for index in 1..<max(ranks, 1) {
      let rank = order[index]
      let key = load[rank]
      var hole = index
      while hole > 0 && load[order[hole - 1]] > key {
        order[hole] = order[hole - 1]
        hole -= 1
      }
      order[hole] = rank
    }
  }

  private func bestExchange(
    of rank: Int, _ order: [Int], _ size: [Double], _ target: Double
  ) -> (Int, Int)? {
    let full = load[rank]
    var best = full * (1 - 1e-12)
    var found: (Int, Int)?
    let first = rank &* slotsPerRank
    // The hottest loop of the balancer: all indices are slots of ranks, so none is checked again.
    let (loads, sizes) = (load.span, size.span)
    for other in order {
      let room = unsafe loads[unchecked: other]
      if room >= best { break }
      let start = other &* slotsPerRank
      for slot in first..<(first &+ slotsPerRank) {
        let piece = unsafe sizes[unchecked: slot]
        // Both end below `best` only if the difference is in this range.
        if piece <= full - best { continue }
        for candidate in start..<(start &+ slotsPerRank) {
          let difference = unsafe piece - sizes[unchecked: candidate]
          if difference <= full - best || room + difference >= best { continue }
          if holds(slots[slot], other) || holds(slots[candidate], rank) { continue }
          best = max(full - difference, room + difference)
          found = (slot, candidate)
          if best <= target { return found }
        }
      }
    }
    return found
  }
}
