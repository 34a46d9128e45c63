extension LayerState {
  /// Empties all slots and fills them anew for the given counts: pieces from large to small, each
  /// onto the emptiest rank with a free slot that does not hold its expert.
  ///
  /// The counts must add up to the slots, none of them above the ranks.
  mutating func pack(counts newCounts: [Int]) {
    counts = newCounts
    for expert in 0..<experts { pieces[expert] = weights[expert] / Double(counts[expert]) }
    for index in held.indices { held[index] = 0 }
    for rank in 0..<ranks { load[rank] = 0 }
    for slot in slots.indices { slots[slot] = -1 }
    var order = Array(0..<experts)
    let key = pieces
    order.sort { key[$0] > key[$1] || (key[$0] == key[$1] && $0 < $1) }
    var free = Array(repeating: slotsPerRank, count: ranks)
    var heap = KeyHeap(capacity: ranks)
    for rank in 0..<ranks { heap.push(0, rank) }
    var taken: [Int] = []
    for expert in order {
      taken.removeAll(keepingCapacity: true)
      for _ in 0..<counts[expert] {
        // Ranks taken for this expert stay out of the heap until it is done: they hold it.
        guard let rank = heap.pop() else {
          for other in taken where free[other] > 0 { heap.push(load[other], other) }
          taken.removeAll(keepingCapacity: true)
          let freed = makeRoom(for: expert, free: &free)
          rebuild(&heap, free)
          place(expert, freed, &free)
          for other in 0..<ranks where free[other] > 0 && holds(expert, other) {
            taken.append(other)
          }
          rebuild(&heap, free, without: expert)
          continue
        }
        place(expert, rank, &free)
        taken.append(rank)
      }
      for rank in taken where free[rank] > 0 { heap.push(load[rank], rank) }
    }
  }

  private mutating func place(_ expert: Int, _ rank: Int, _ free: inout [Int]) {
    let slot = rank * slotsPerRank + slotsPerRank - free[rank]
    slots[slot] = expert
    free[rank] -= 1
    load[rank] += pieces[expert]
    hold(expert, rank)
  }

  private func rebuild(_ heap: inout KeyHeap, _ free: [Int], without expert: Int? = nil) {
    heap.removeAll()
    for rank in 0..<ranks where free[rank] > 0 {
      if let expert, holds(expert, rank) { continue }
      heap.push(load[rank], rank)
    }
  }

  /// Frees a slot on a rank without the expert, by moving one of its experts to a free slot; returns
  /// the rank.
  ///
  /// One exists: a full rank without the expert has `s` others, a rank with room and the expert at
  /// most `s - 2`, so two of the former can move to the latter.
  private mutating func makeRoom(for expert: Int, free: inout [Int]) -> Int {
    var best: (cost: Double, slot: Int, target: Int) = (.infinity, -1, -1)
    for target in 0..<ranks where free[target] > 0 {
      for rank in 0..<ranks where free[rank] == 0 && !holds(expert, rank) {
        for slot in (rank * slotsPerRank)..<((rank + 1) * slotsPerRank) {
          let moved = slots[slot]
          if holds(moved, target) { continue }
          let cost = max(
            load[rank] - pieces[moved] + pieces[expert], load[target] + pieces[moved])
          if cost < best.cost { best = (cost, slot, target) }
        }
      }
    }
    precondition(best.slot >= 0, "counts do not fit the ranks")
    let rank = best.slot / slotsPerRank
    let moved = slots[best.slot]
    release(moved, rank)
    load[rank] -= pieces[moved]
    // The last slot of a full rank becomes its only free one.
    let last = (rank + 1) * slotsPerRank - 1
    slots[best.slot] = slots[last]
    slots[last] = -1
    free[rank] = 1
    place(moved, best.target, &free)
    return rank
  }
}
