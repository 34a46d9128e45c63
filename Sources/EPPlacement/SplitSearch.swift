/// The search for placements near the one in force whose batches can be split evenly.
///
/// From the hottest ranks experts go to cooler ones, in exchange or as another replica; of many
/// moves tried each time the one is made that lowers the fullest rank most for its copies.
struct SplitSearch {
  /// Draws of loads to come, moves tried for a step, and rounds of filling for a trial.
  struct Effort: Hashable, Sendable {
    var scenarios = 8
    var tries = 48
    var rounds = 3
    var failures = 3
  }

  private var state: SplitState
  private let start: LayerState
  private let budget: Int
  private let effort: Effort
  private var random: SeededRandom
  private var copies = 0
  private(set) var points: [RebalancePoint] = []

  /// Searches with at most `budget` copies.
  init(
    shape: PlacementShape, slots: [Int], weights: [Double], drift: Double, budget: Int,
    effort: Effort = Effort()
  ) {
    start = LayerState(
      weights: weights, ranks: shape.ranks, slotsPerRank: shape.slotsPerRank, slots: slots)
    state = SplitState(
      shape: shape, slots: slots, weights: weights, drift: drift, scenarios: effort.scenarios,
      seed: 1)
    self.budget = budget
    self.effort = effort
    random = SeededRandom(seed: UInt64(slots.count))
    points = [point]
    if shape.ranks > 1 && weights.reduce(0, +) > 0 { run() }
  }

  private var point: RebalancePoint {
    RebalancePoint(
      copies: copies, balance: 1 / max(state.mostNow, 1), expectedBalance: 1 / max(state.most, 1),
      slots: state.slots)
  }

  private mutating func run() {
    var failures = 0
    // The factor bounds steps without further copies.
    for _ in 0..<(4 * budget + 8) where failures < effort.failures {
      guard let (move, cost) = bestMove() else {
        failures += 1
        continue
      }
      failures = 0
      state.make(move)
      copies += cost
      while let last = points.last, last.copies >= copies, points.count > 1 { points.removeLast() }
      if copies > (points.last?.copies ?? 0) { points.append(point) }
    }
  }

  private mutating func bestMove() -> (SplitState.Move, Int)? {
    let order = (0..<state.ranks).sorted {
      state.heat[$0] > state.heat[$1] || (state.heat[$0] == state.heat[$1] && $0 < $1)
    }
    var best = 1e-7
    var found: (SplitState.Move, Int)?
    for _ in 0..<effort.tries {
      guard let move = candidate(order) else { continue }
      let cost = cost(of: move)
      if copies + cost > budget { continue }
      // What takes no copies is worth having for half the gain.
      let price = cost > 0 ? Double(cost) : 0.5
      let bound = state.most - best * price
      if let most = state.trial(move, below: bound, rounds: effort.rounds) {
        best = (state.most - most) / price
        found = (move, cost)
      }
    }
    return found
  }

  /// A move from one of the hottest ranks to one of the cooler ones, drawn.
  private mutating func candidate(_ order: [Int]) -> SplitState.Move? {
    let size = state.slotsPerRank
    func draw(_ mean: Double) -> Int {
      min(Int(-naturalLogarithm(max(random.unit(), 1e-12)) * mean), order.count - 1)
    }
    let hot = order[draw(3)]
    let cold = order[order.count - 1 - draw(Double(order.count) / 4)]
    let own = hot * size + random.below(size)
    let other = cold * size + random.below(size)
    let isExchange = random.below(2) == 0
    let (x, y) = (state.slots[own], state.slots[other])
    func holds(_ rank: Int, _ expert: Int) -> Bool {
      state.places[expert].contains { $0 / size == rank }
    }
    if hot == cold || x == y || holds(cold, x) { return nil }
    if isExchange { return holds(hot, y) ? nil : .exchange(own, other) }
    return state.places[y].count > 1 ? .replace(slot: other, by: x) : nil
  }

  /// Copies that a move adds; negative when it undoes earlier ones.
  private func cost(of move: SplitState.Move) -> Int {
    let size = state.slotsPerRank
    func gain(_ expert: Int, _ rank: Int) -> Int { start.holds(expert, rank) ? 0 : 1 }
    switch move {
    case .replace(let slot, let expert):
      return gain(expert, slot / size) - gain(state.slots[slot], slot / size)
    case .exchange(let first, let second):
      let (a, b) = (first / size, second / size)
      let (x, y) = (state.slots[first], state.slots[second])
      return gain(y, a) + gain(x, b) - gain(x, a) - gain(y, b)
    }
  }
}
