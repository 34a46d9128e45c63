/// Spreads copies over steps; see `PlacementShape.migration`.
///
/// What a step copies is read as it was before the step: ranks receive into buffers and then write.
/// So two slots can exchange experts in one step, and longer cycles too.
struct MigrationPlanner {
  private let shape: PlacementShape
  /// Experts a rank may receive, and send, in a step.
  private let limit: Int
  /// The slots of each layer: as they shall be, and after the steps planned so far.
  private var target: [[Int]] = []
  private var current: [[Int]] = []
  /// Copies still wanted of each expert of each layer, and slots that hold it.
  private var need: [[Int]] = []
  private var held: [[Int]] = []
  /// The step being planned.
  private var before: [[Int]] = []
  private var received: [Int] = []
  private var sent: [Int] = []
  private var step: [Migration.Copy] = []

  init(shape: PlacementShape, limit: Int) {
    self.shape = shape
    self.limit = limit
  }

  mutating func add(from old: [Int], to new: [Int]) {
    current.append(old)
    target.append(new)
    var need = Array(repeating: 0, count: shape.experts)
    var held = need
    for slot in old.indices {
      held[old[slot]] += 1
      if old[slot] != new[slot] { need[new[slot]] += 1 }
    }
    self.need.append(need)
    self.held.append(held)
  }

  mutating func plan(expertBytes: Int) -> Migration {
    var migration = Migration(
      steps: [], slots: [], expertBytes: expertBytes, worstStepBytes: 0, bytesInNodes: 0,
      bytesBetweenNodes: 0)
    var waiting: [(layer: Int, slot: Int)] = []
    for layer in target.indices {
      for slot in target[layer].indices where target[layer][slot] != current[layer][slot] {
        waiting.append((layer, slot))
      }
    }
    while let first = waiting.first {
      before = current
      received = Array(repeating: 0, count: shape.ranks)
      sent = received
      step = []
      for (layer, slot) in waiting where isFree(layer, slot) { copy(layer, slot) }
      for (layer, slot) in waiting where current[layer][slot] == before[layer][slot] {
        closeCycle(layer, slot)
      }
      if step.isEmpty { exchange(first.layer, first.slot) }
      account(&migration)
      waiting = waiting.filter { target[$0.layer][$0.slot] != current[$0.layer][$0.slot] }
    }
    migration.slots = current
    return migration
  }

  /// Whether the expert in a slot may be overwritten: it is elsewhere too, or wanted nowhere.
  private func isFree(_ layer: Int, _ slot: Int) -> Bool {
    let leaving = current[layer][slot]
    return held[layer][leaving] > 1 || need[layer][leaving] == 0
  }

  /// Copies the wanted expert into a slot if the limits of the step allow it.
  @discardableResult
  private mutating func copy(_ layer: Int, _ slot: Int) -> Bool {
    let to = slot / shape.slotsPerRank
    let expert = target[layer][slot]
    guard received[to] < limit, let from = source(layer, expert, to: to) else { return false }
    write(layer, slot, expert, from: from)
    need[layer][expert] -= 1
    return true
  }

  private mutating func write(_ layer: Int, _ slot: Int, _ expert: Int, from: Int) {
    let to = slot / shape.slotsPerRank
    received[to] += 1
    sent[from] += 1
    held[layer][current[layer][slot]] -= 1
    held[layer][expert] += 1
    current[layer][slot] = expert
    step.append(
      Migration.Copy(
        layer: layer, expert: expert, slot: slot, from: from, to: to,
        staysInNode: shape.node(of: from) == shape.node(of: to)))
  }

  /// Copies around a cycle of slots each of which waits for the only slot of the expert it wants.
  private mutating func closeCycle(_ layer: Int, _ start: Int) {
    var cycle = [start]
    var slot = start
    while true {
      guard let next = current[layer].firstIndex(of: target[layer][slot]),
        target[layer][next] != current[layer][next], cycle.count <= shape.slots
      else { return }
      if next == start { break }
      if cycle.contains(next) { return }
      cycle.append(next)
      slot = next
    }
    // All or nothing: count what it would take.
    var receiving = received
    var sending = sent
    for slot in cycle {
      receiving[slot / shape.slotsPerRank] += 1
      guard let holder = before[layer].firstIndex(of: target[layer][slot]) else { return }
      sending[holder / shape.slotsPerRank] += 1
    }
    for slot in cycle where current[layer][slot] != before[layer][slot] { return }
    guard receiving.allSatisfy({ $0 <= limit }), sending.allSatisfy({ $0 <= limit }) else { return }
    for slot in cycle {
      let expert = target[layer][slot]
      guard let holder = before[layer].firstIndex(of: expert) else { return }
      write(layer, slot, expert, from: holder / shape.slotsPerRank)
      need[layer][expert] -= 1
    }
  }

  /// Exchanges a slot's expert with the one it waits for: one expert each way, so within any limit.
  ///
  /// For cycles too long for a step. When nothing can be copied, every waiting slot has the last slot
  /// of an expert that some waiting slot wants: as many experts as copies, so the wants permute the
  /// waiting slots, and the other slot waits too.
  private mutating func exchange(_ layer: Int, _ slot: Int) {
    let expert = target[layer][slot]
    guard let other = current[layer].firstIndex(of: expert) else {
      preconditionFailure("a wanted expert has no slot")
    }
    let leaving = current[layer][slot]
    write(layer, slot, expert, from: other / shape.slotsPerRank)
    write(layer, other, leaving, from: slot / shape.slotsPerRank)
    need[layer][expert] -= 1
    // Slots of a rank are alike: the expert stays where it is if any slot of the rank wants it.
    let start = other / shape.slotsPerRank * shape.slotsPerRank
    let rank = start..<(start + shape.slotsPerRank)
    if let wanting = rank.first(where: { target[layer][$0] == leaving }) {
      target[layer].swapAt(other, wanting)
      need[layer][leaving] -= 1
    }
  }

  /// The rank to copy from: in the same node if possible, then the one that sends least.
  private func source(_ layer: Int, _ expert: Int, to: Int) -> Int? {
    var best: (isFar: Int, sent: Int, rank: Int)?
    for (slot, held) in before[layer].enumerated() where held == expert {
      let rank = slot / shape.slotsPerRank
      if rank == to || sent[rank] >= limit { continue }
      let candidate = (shape.node(of: rank) != shape.node(of: to) ? 1 : 0, sent[rank], rank)
      if let known = best, known <= candidate { continue }
      best = candidate
    }
    return best.map(\.rank)
  }

  private func account(_ migration: inout Migration) {
    for copy in step {
      if copy.staysInNode {
        migration.bytesInNodes += migration.expertBytes
      } else {
        migration.bytesBetweenNodes += migration.expertBytes
      }
    }
    let worst = max(received.max() ?? 0, sent.max() ?? 0) * migration.expertBytes
    migration.worstStepBytes = max(migration.worstStepBytes, worst)
    migration.steps.append(step)
  }
}
