internal import EPPlacement

/// One member's part in splitting a batch's rows over replicas, so that the fullest rank gets as few
/// as possible.
///
/// Every member knows how many rows each has for each expert, solves the same problem and so comes
/// to the same answer; it keeps what it needs: where its own rows go, and what it receives. Rows
/// stay on a member that holds their expert as far as the split allows; the others fill the slots in
/// the order of members.
struct BatchSharing {
  /// The slots that this member's rows of each expert go to, and how many go to each, in the order
  /// that its rows take them.
  private(set) var targets: [[(slot: Int, rows: Int)]]
  /// Rows that each member sends to each of this member's slots, member by member.
  private(set) var received: [Int32]
  /// Rows of the fullest rank if replicas shared evenly.
  private(set) var evenMost = 0.0

  /// Splits a batch: `counts` are the rows of each member for each expert, member by member.
  init(_ split: TokenSplit, counts: [Int32], own: Int) {
    let shape = split.shape
    let (experts, members) = (shape.experts, shape.ranks)
    var totals = Array(repeating: 0, count: experts)
    for member in 0..<members {
      for expert in 0..<experts { totals[expert] += Int(counts[member * experts + expert]) }
    }
    let slotRows = split.slotTokens(of: totals)
    targets = Array(repeating: [], count: experts)
    received = Array(repeating: 0, count: members * shape.slotsPerRank)
    let ownSlots = (own * shape.slotsPerRank)..<((own + 1) * shape.slotsPerRank)
    var left: [Int32] = []
    for expert in 0..<experts where totals[expert] > 0 {
      let slots = split.places(of: expert)
      let isHeld = slots.contains { ownSlots.contains($0) }
      if !isHeld && counts[own * experts + expert] == 0 { continue }
      left = (0..<members).map { counts[$0 * experts + expert] }
      var room = slots.map { slotRows[$0] }
      for (index, slot) in slots.enumerated() {
        let member = slot / shape.slotsPerRank
        let rows = min(room[index], Int(left[member]))
        room[index] -= rows
        left[member] -= Int32(rows)
        give(rows, of: expert, from: member, to: slot, own: own, ownSlots)
      }
      var index = 0
      for member in 0..<members {
        while left[member] > 0 && index < slots.count {
          let rows = min(room[index], Int(left[member]))
          room[index] -= rows
          left[member] -= Int32(rows)
          give(
            rows, of: expert, from: member, to: slots[slots.startIndex + index], own: own, ownSlots)
          if room[index] == 0 { index += 1 }
        }
      }
    }
    if own == 0 { evenMost = BatchSharing.evenMost(split, totals) }
  }

  private mutating func give(
    _ rows: Int, of expert: Int, from member: Int, to slot: Int, own: Int, _ ownSlots: Range<Int>
  ) {
    if rows == 0 { return }
    if member == own { targets[expert].append((slot, rows)) }
    if ownSlots.contains(slot) {
      received[member * ownSlots.count + slot - ownSlots.lowerBound] += Int32(rows)
    }
  }

  private static func evenMost(_ split: TokenSplit, _ totals: [Int]) -> Double {
    var ranks = Array(repeating: 0.0, count: split.shape.ranks)
    for (expert, total) in totals.enumerated() {
      let slots = split.places(of: expert)
      for slot in slots {
        ranks[slot / split.shape.slotsPerRank] += Double(total) / Double(slots.count)
      }
    }
    return ranks.max() ?? 0
  }
}
