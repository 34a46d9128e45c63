/// A layer's slots, judged by how even its ranks can be when every batch is split over replicas.
///
/// The loads to come are unknown, so there are several: those given, and others drawn around them
/// with the drift that is expected. For each of them the shares of replicas are kept and improved:
/// one expert after the other fills the emptiest of its ranks first, which lowers the fullest rank
/// until no expert can. A few rounds are near the exact split (`TokenSplit`) and many times faster
/// after a small change.
struct SplitState {
  /// The expert in each slot.
  private(set) var slots: [Int]
  /// The slots of each expert.
  private(set) var places: [[Int]]
  /// The mean over scenarios of the fullest rank, in units of the mean rank.
  private(set) var most = 0.0
  /// The fullest rank under the loads given, in the same units.
  private(set) var mostNow = 0.0
  /// How much each rank is among the fullest, over all scenarios.
  private(set) var heat: [Double]
  let ranks: Int
  let slotsPerRank: Int
  private let scenarios: [[Double]]
  /// Loads of slots, then of ranks, for each scenario.
  private var slotLoads: [Double]
  private var rankLoads: [Double]

  /// A change of the slots: the experts of two slots change places, or a slot gets another expert.
  enum Move {
    case exchange(Int, Int)
    case replace(slot: Int, by: Int)
  }

  init(
    shape: PlacementShape, slots: [Int], weights: [Double], drift: Double, scenarios count: Int,
    seed: UInt64
  ) {
    self.slots = slots
    ranks = shape.ranks
    slotsPerRank = shape.slotsPerRank
    var random = SeededRandom(seed: seed)
    var scenarios: [[Double]] = []
    for scenario in 0..<max(drift > 0 ? count : 1, 1) {
      var row = weights
      if scenario > 0 {
        for expert in row.indices { row[expert] *= exponential(drift * random.normal()) }
      }
      let scale = Double(shape.ranks) / max(row.reduce(0, +), 1e-300)
      for expert in row.indices { row[expert] *= scale }
      scenarios.append(row)
    }
    self.scenarios = scenarios
    places = Array(repeating: [], count: shape.experts)
    for (slot, expert) in slots.enumerated() { places[expert].append(slot) }
    slotLoads = Array(repeating: 0, count: scenarios.count * slots.count)
    rankLoads = Array(repeating: 0, count: scenarios.count * ranks)
    heat = Array(repeating: 0, count: ranks)
    for (scenario, row) in scenarios.enumerated() {
      for (slot, expert) in slots.enumerated() {
        let load = row[expert] / Double(places[expert].count)
        slotLoads[scenario * slots.count + slot] = load
        rankLoads[scenario * ranks + slot / slotsPerRank] += load
      }
    }
    settle(rounds: 24)
  }

  /// Splits anew, as well as so many rounds can, and judges.
  mutating func settle(rounds: Int) {
    let replicated = places.indices.filter { places[$0].count > 1 }
    most = 0
    for rank in 0..<ranks { heat[rank] = 0 }
    for scenario in scenarios.indices {
      let fullest = fill(scenario, replicated, rounds)
      if scenario == 0 { mostNow = fullest }
      most += fullest / Double(scenarios.count)
      for rank in 0..<ranks {
        heat[rank] += exponential(30 * (rankLoads[scenario * ranks + rank] - 1))
      }
    }
  }

  /// The mean fullest rank after a move, or nil where it is no better than `bound`.
  ///
  /// Works in place and undoes what it did.
  mutating func trial(_ move: Move, below bound: Double, rounds: Int) -> Double? {
    let savedSlots = slotLoads
    let savedRanks = rankLoads
    var old = -1
    if case .replace(let slot, _) = move { old = slots[slot] }
    apply(move)
    let replicated = places.indices.filter { places[$0].count > 1 }
    var sum = 0.0
    var result: Double?
    let limit = bound * Double(scenarios.count)
    for scenario in scenarios.indices {
      sum += fill(scenario, replicated, rounds)
      // No scenario's fullest rank is below the mean.
      if sum + Double(scenarios.count - 1 - scenario) >= limit { break }
      if scenario == scenarios.count - 1 { result = sum / Double(scenarios.count) }
    }
    undo(move, was: old)
    slotLoads = savedSlots
    rankLoads = savedRanks
    return result
  }

  /// Makes a move; shares are to be settled afterwards.
  mutating func make(_ move: Move) {
    apply(move)
    settle(rounds: 12)
  }
}

extension SplitState {
  /// Lets each expert in turn fill the emptiest of its ranks first; the fullest rank after that.
  private mutating func fill(_ scenario: Int, _ replicated: [Int], _ rounds: Int) -> Double {
    let slotBase = scenario * slots.count
    let rankBase = scenario * ranks
    for _ in 0..<rounds {
      var moved = 0.0
      for expert in replicated {
        moved +=
          places[expert].count == 2
          ? level(expert, slotBase, rankBase)
          : fill(expert, scenarios[scenario][expert], slotBase, rankBase)
      }
      if moved < 1e-6 { break }
    }
    var most = 0.0
    for rank in rankBase..<(rankBase + ranks) { most = max(most, rankLoads[rank]) }
    return most
  }

  /// Two slots share so that their ranks are as even as can be; the load that moved.
  private mutating func level(_ expert: Int, _ slotBase: Int, _ rankBase: Int) -> Double {
    let (first, second) = (places[expert][0], places[expert][1])
    let (a, b) = (rankBase + first / slotsPerRank, rankBase + second / slotsPerRank)
    let wish = (rankLoads[b] - rankLoads[a]) / 2
    let moved = min(
      max(wish, -slotLoads[slotBase + first]), slotLoads[slotBase + second])
    slotLoads[slotBase + first] += moved
    slotLoads[slotBase + second] -= moved
    rankLoads[a] += moved
    rankLoads[b] -= moved
    return abs(moved)
  }

  /// The same for any number of slots: the emptiest ranks are filled to one level.
  private mutating func fill(
    _ expert: Int, _ load: Double, _ slotBase: Int, _ rankBase: Int
  ) -> Double {
    let own = places[expert]
    var order: [(rest: Double, slot: Int)] = []
    order.reserveCapacity(own.count)
    for slot in own {
      order.append((rankLoads[rankBase + slot / slotsPerRank] - slotLoads[slotBase + slot], slot))
    }
    order.sort { $0.rest < $1.rest || ($0.rest == $1.rest && $0.slot < $1.slot) }
    var left = load
    var level = order[0].rest
    var filled = 1
    while filled < order.count {
      let step = (order[filled].rest - level) * Double(filled)
      if step >= left { break }
      left -= step
      level = order[filled].rest
      filled += 1
    }
    level += left / Double(filled)
    var moved = 0.0
    for (rest, slot) in order {
      let new = max(0, level - rest)
      moved += abs(new - slotLoads[slotBase + slot])
      slotLoads[slotBase + slot] = new
      rankLoads[rankBase + slot / slotsPerRank] = rest + new
    }
    return moved
  }

  private mutating func apply(_ move: Move) {
    switch move {
    case .exchange(let first, let second):
      for scenario in scenarios.indices {
        let (slotBase, rankBase) = (scenario * slots.count, scenario * ranks)
        let difference = slotLoads[slotBase + first] - slotLoads[slotBase + second]
        slotLoads.swapAt(slotBase + first, slotBase + second)
        rankLoads[rankBase + first / slotsPerRank] -= difference
        rankLoads[rankBase + second / slotsPerRank] += difference
      }
      exchange(first, second)
    case .replace(let slot, let expert):
      let old = slots[slot]
      places[old].removeAll { $0 == slot }
      for scenario in scenarios.indices {
        let (slotBase, rankBase) = (scenario * slots.count, scenario * ranks)
        let load = slotLoads[slotBase + slot]
        slotLoads[slotBase + slot] = 0
        rankLoads[rankBase + slot / slotsPerRank] -= load
        for other in places[old] {
          slotLoads[slotBase + other] += load / Double(places[old].count)
          rankLoads[rankBase + other / slotsPerRank] += load / Double(places[old].count)
        }
      }
      slots[slot] = expert
      places[expert].append(slot)
    }
  }

  /// Takes back a move, all but the loads.
  private mutating func undo(_ move: Move, was old: Int) {
    switch move {
    case .exchange(let first, let second): exchange(first, second)
    case .replace(let slot, let expert):
      places[expert].removeAll { $0 == slot }
      places[old].append(slot)
      slots[slot] = old
    }
  }

  private mutating func exchange(_ first: Int, _ second: Int) {
    let (x, y) = (slots[first], slots[second])
    for index in places[x].indices where places[x][index] == first { places[x][index] = second }
    for index in places[y].indices where places[y][index] == second { places[y][index] = first }
    slots[first] = y
    slots[second] = x
  }
}
