internal import EPBackend
internal import EPPlacement
internal import EPPlan

/// Where the rows of one dispatch go and come back from.
struct Routing {
  /// The slots of each logical expert, and how they fall onto ranks.
  struct Slots: Sendable {
    var replicas: [[Int]]
    var perRank: Int
    /// What splits batches over replicas, where the plan wants that.
    var split: TokenSplit?

    init(_ placement: ExpertPlacement) {
      replicas = placement.replicas
      perRank = placement.slotsPerRank
      guard placement.sharing == .batch else { return }
      do throws(PlacementError) {
        split = try TokenSplit(
          shape: PlacementShape(
            experts: placement.experts, ranks: placement.slots.count / perRank,
            slotsPerRank: perRank), slots: placement.slots)
      } catch { preconditionFailure("the slots of a verified plan: \(error)") }
    }
  }

  /// What members tell each other before a batch is split over replicas.
  struct Counts {
    /// Rows of this member for each expert.
    var own: Storage
    /// Rows of each member for each expert, member by member.
    var all: Storage

    init(indices: UnsafePointer<Int32>, choices: Int, experts: Int, members: Int) {
      var counts = Array(repeating: Int32(0), count: experts)
      for choice in 0..<choices {
        let expert = Int(unsafe indices[choice])
        if expert >= 0 && expert < experts { counts[expert] += 1 }
      }
      own = Storage(counts)
      all = Storage(bytes: 4 * members * experts)
    }
  }

  /// Rows of each slot of all members, as this rank sends them.
  var sentCounts: Storage
  /// The rows sent, by slot and then by row.
  var sentRows: Storage
  /// The choice (row and place among its experts) that each row sent belongs to.
  var sentChoices: [Int]
  /// Rows sent to each member.
  var sent: [Int]
  /// Which of the rows sent belongs to each choice.
  var places: Storage
  /// Rows of each of this rank's slots, as each member sends them.
  var receivedCounts: Storage
  /// Rows received from each member.
  var received: [Int] = []
  /// The place of each row received among the routed rows.
  var order = Storage(bytes: 0)

  /// Chooses a slot for every routed choice: of an expert's replicas, the token's position decides.
  init(
    indices: UnsafePointer<Int32>, positions: UnsafePointer<Int32>, rows: Int, topK: Int,
    experts: Int, slots: Slots, members: Int
  ) {
    var chosen = Array(repeating: -1, count: rows * topK)
    for row in 0..<rows {
      for choice in (row * topK)..<((row + 1) * topK) {
        let expert = Int(unsafe indices[choice])
        if expert < 0 || expert >= experts { continue }
        let replicas = slots.replicas[expert]
        chosen[choice] = replicas[(Int(unsafe positions[row]) + expert) % replicas.count]
      }
    }
    self.init(chosen: chosen, topK: topK, slots: slots, members: members)
  }

  /// Chooses slots as the split of a batch says: rows in order take the slots of an expert in order.
  init(
    indices: UnsafePointer<Int32>, rows: Int, topK: Int, sharing: BatchSharing, slots: Slots,
    members: Int
  ) {
    var targets = sharing.targets
    var current = Array(repeating: 0, count: targets.count)
    var chosen = Array(repeating: -1, count: rows * topK)
    for choice in chosen.indices {
      let expert = Int(unsafe indices[choice])
      if expert < 0 || expert >= targets.count { continue }
      while targets[expert][current[expert]].rows == 0 { current[expert] += 1 }
      chosen[choice] = targets[expert][current[expert]].slot
      targets[expert][current[expert]].rows -= 1
    }
    self.init(chosen: chosen, topK: topK, slots: slots, members: members)
    receivedCounts.memory.copy(from: sharing.received)
  }

  /// Orders the rows sent by the slots chosen for each choice, -1 where a choice goes nowhere.
  private init(chosen: [Int], topK: Int, slots: Slots, members: Int) {
    var counts = Array(repeating: Int32(0), count: members * slots.perRank)
    for slot in chosen where slot >= 0 { counts[slot] += 1 }
    var next: [Int] = []
    next.reserveCapacity(counts.count)
    var total = 0
    for count in counts {
      next.append(total)
      total += Int(count)
    }
    var rowsInOrder = Array(repeating: Int32(0), count: total)
    var places = Array(repeating: Int32(-1), count: chosen.count)
    sentChoices = Array(repeating: 0, count: total)
    for (choice, slot) in chosen.enumerated() where slot >= 0 {
      rowsInOrder[next[slot]] = Int32(choice / topK)
      sentChoices[next[slot]] = choice
      places[choice] = Int32(next[slot])
      next[slot] += 1
    }
    sent = (0..<members).map { member in
      counts[(member * slots.perRank)..<((member + 1) * slots.perRank)].reduce(0) { $0 + Int($1) }
    }
    sentCounts = Storage(counts)
    sentRows = Storage(rowsInOrder)
    self.places = Storage(places)
    receivedCounts = Storage(bytes: 4 * members * slots.perRank)
  }

  /// Orders what is received: by slot, then by sender, then as sent. Returns where slots end.
  mutating func orderReceived(members: Int, slots: Int) -> [Int32] {
    func count(_ member: Int, _ slot: Int) -> Int {
      Int(unsafe receivedCounts.memory.indices[member * slots + slot])
    }
    if members == 1 {
      // What stays on the rank is in that order already.
      var total: Int32 = 0
      let ends = (0..<slots).map { slot in
        total += unsafe receivedCounts.memory.indices[slot]
        return total
      }
      received = [Int(total)]
      return ends
    }
    var starts = Array(repeating: Array(repeating: 0, count: slots), count: members)
    var ends: [Int32] = []
    var total = 0
    for slot in 0..<slots {
      for member in 0..<members {
        starts[member][slot] = total
        total += count(member, slot)
      }
      ends.append(Int32(total))
    }
    var order: [Int32] = []
    order.reserveCapacity(total)
    received = Array(repeating: 0, count: members)
    for member in 0..<members {
      for slot in 0..<slots {
        let start = starts[member][slot]
        order.append(contentsOf: (start..<(start + count(member, slot))).map { Int32($0) })
        received[member] += count(member, slot)
      }
    }
    self.order = Storage(order)
    return ends
  }
}
