/// The search for one layer's slots over all given ranks: several choices of replica counts, each
/// packed, and the best improved by exchanges.
struct LayerSearch {
  /// What the search may spend and where it stops.
  struct Effort: Hashable, Sendable {
    /// Stop within this part of the bound.
    var tolerance = 0.0004
    /// Try no other counts within this part of the bound.
    var goodEnough = 0.0008
    /// Choices of counts whose packing is improved by exchanges.
    var improved = 2
    /// Exchanges of one packing.
    var exchanges = 400
    /// Moves of slots by risk, and how sharply the fullest ranks count.
    var polishes = 24
    var sharpness = [12.0, 60]
    /// Above this many slots they are not worth their time.
    var polishedSlots = 64
    /// Up to this many slots everything is tried, within the nodes.
    var exactSlots = 20
    var exactNodes = 200_000
    /// Random swaps out of a local optimum.
    var shakes = 24
    /// Pieces that the search over counts for pairs looks at.
    var pairWork = 350_000
  }

  /// The slots found.
  private(set) var slots: [Int]
  /// Tokens of the fullest rank.
  private(set) var most: Double
  /// The lower bound.
  let bound: Double
  /// Tokens of the fullest rank under the greedy balancer.
  let greedyMost: Double

  private let weights: [Double]
  private let ranks: Int
  private let slotsPerRank: Int
  /// Experts from heavy to light.
  private let heaviestFirst: [Int]

  /// Searches.
  init(weights: [Double], ranks: Int, slotsPerRank: Int, effort: Effort) {
    self.weights = weights
    self.ranks = ranks
    self.slotsPerRank = slotsPerRank
    heaviestFirst = weights.indices.sorted {
      weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1
    }
    let fewest = ReplicaCounts.smallestLargestPiece(
      weights: weights, slots: ranks * slotsPerRank, most: ranks)
    var largest = 0.0
    for expert in weights.indices {
      largest = max(largest, weights[expert] / Double(fewest[expert]))
    }
    var bounds = RankLoadBound(weights: weights, ranks: ranks, slotsPerRank: slotsPerRank)
    bound = bounds.value(largestPiece: largest)
    let greedy = GreedyPlacement(weights: weights, ranks: ranks, slotsPerRank: slotsPerRank)
    greedyMost = greedy.most
    slots = greedy.slots
    most = greedy.isLegal ? greedy.most : .infinity
    search(fewest, greedy, effort)
    if slots.count <= effort.exactSlots && most > bound * (1 + 1e-9) {
      let exact = ExactSearch(
        weights: weights, ranks: ranks, slotsPerRank: slotsPerRank, known: most, goal: bound,
        nodes: effort.exactNodes)
      if let better = exact.slots {
        slots = better
        most = exact.most
      }
    }
  }

  private mutating func search(
    _ fewest: [Int], _ greedy: GreedyPlacement, _ effort: Effort
  ) {
    let isFixed = ranks * slotsPerRank == weights.count
    let target = bound * (1 + (isFixed ? 0.00005 : effort.tolerance))
    if most <= target { return }
    var state = LayerState(weights: weights, ranks: ranks, slotsPerRank: slotsPerRank)
    var tried: [(most: Double, counts: [Int], state: LayerState)] = []
    func attempt(_ counts: [Int], _ search: inout LayerSearch) {
      if tried.contains(where: { $0.counts == counts }) { return }
      state.pack(counts: counts)
      search.keep(state)
      tried.append((state.most, counts, state))
    }
    attempt(fewest, &self)
    let packed = state
    if most <= target || slotsPerRank == 1 { return }
    // Ranks of many slots need no more than exchanges.
    var first = tried[0].state
    first.exchange(until: target, limit: effort.exchanges)
    keep(first)
    if isFixed {
      climb(packed, greedy, effort)
      if most > bound * (1 + effort.tolerance) { shake(until: target, effort) }
      return
    }
    if most <= bound * (1 + effort.goodEnough) { return }
    if slotsPerRank == 2 {
      attempt(pairCounts(from: fewest, target, effort), &self)
    } else {
      for cap in [1.0, 0.85, 0.7, 0.6, 0.5] {
        for splitsLight in [false, true] {
          guard let counts = counts(cap: cap * bound, splitsLight: splitsLight) else { continue }
          attempt(counts, &self)
          if most <= target { return }
        }
      }
    }
    tried.removeFirst()
    tried.sort { $0.most < $1.most }
    for index in tried.indices.prefix(effort.improved) {
      tried[index].state.exchange(until: target, limit: effort.exchanges)
      keep(tried[index].state)
      if most <= target { return }
    }
    if most <= bound * (1 + 2 * effort.goodEnough) { return }
    climb(packed, greedy, effort)
    polish(until: target, effort)
    if slotsPerRank > 2 { shake(until: target, effort) }
  }

  /// Takes the best swap each time, which often ends lower where the target is out of reach.
  private mutating func climb(
    _ packed: LayerState, _ greedy: GreedyPlacement, _ effort: Effort
  ) {
    var states = [packed]
    if greedy.isLegal {
      states.append(
        LayerState(
          weights: weights, ranks: ranks, slotsPerRank: slotsPerRank, slots: greedy.slots))
    }
    for var state in states {
      state.exchange(until: 0, limit: effort.exchanges)
      keep(state)
    }
  }

  /// Moves slots between experts, which exchanges cannot, by the risk of the fullest ranks.
  private mutating func polish(until target: Double, _ effort: Effort) {
    guard ranks > 1 && slots.count <= effort.polishedSlots && most > target else { return }
    let state = LayerState(
      weights: weights, ranks: ranks, slotsPerRank: slotsPerRank, slots: slots)
    for sharpness in effort.sharpness {
      var search = RiskState(state, drift: 0, sharpness: sharpness)
      for _ in 0..<effort.polishes {
        guard let move = search.bestMove(budget: .max, width: 2) else { break }
        search.apply(move)
        if search.state.most < most { keep(search.state) }
        if most <= target { return }
      }
    }
  }

  /// Leaves a local optimum: random swaps of the fullest rank, exchanges again, kept when no worse.
  private mutating func shake(until target: Double, _ effort: Effort) {
    guard ranks > 1 && most > target else { return }
    var random = SeededRandom(seed: UInt64(weights.count * ranks * slotsPerRank))
    var best = LayerState(
      weights: weights, ranks: ranks, slotsPerRank: slotsPerRank, slots: slots)
    for _ in 0..<effort.shakes {
      var state = best
      let rank = state.fullest
      for _ in 0..<2 {
        let own = rank * slotsPerRank + random.below(slotsPerRank)
        let other = random.below(state.slots.count)
        let there = other / slotsPerRank
        if there == rank || state.holds(state.slots[own], there)
          || state.holds(state.slots[other], rank)
        {
          continue
        }
        state.exchange(own, other)
      }
      state.exchange(until: target, limit: 24)
      if state.most <= best.most { best = state }
      if best.most <= target { break }
    }
    best.reload()
    keep(best)
  }

  /// Counts that keep pieces at or below `cap`, with the slots left over going to experts that have
  /// only one: the heaviest, or the lightest, so that there are more small pieces.
  private func counts(cap: Double, splitsLight: Bool) -> [Int]? {
    var counts = weights.map { max(1, min(ranks, Int(($0 / cap).rounded(.up)))) }
    var left = ranks * slotsPerRank - counts.reduce(0, +)
    if left < 0 { return nil }
    let single = heaviestFirst.filter { counts[$0] == 1 }
    for expert in splitsLight ? single.reversed() : single where left > 0 && ranks > 1 {
      counts[expert] = 2
      left -= 1
    }
    return left == 0
      ? counts
      : ReplicaCounts.smallestLargestPiece(
        weights: weights, slots: ranks * slotsPerRank, most: ranks, start: counts)
  }

  /// Counts for ranks of two slots: the best of several choices, improved by moving slots.
  private func pairCounts(from fewest: [Int], _ target: Double, _ effort: Effort) -> [Int] {
    var best = PairCounts(weights: weights, counts: fewest, most: ranks, work: effort.pairWork)
    for cap in [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3] {
      for splitsLight in [false, true] {
        guard let counts = counts(cap: cap * bound, splitsLight: splitsLight) else { continue }
        let other = PairCounts(
          weights: weights, counts: counts, most: ranks, work: effort.pairWork)
        if other.maximum < best.maximum { best = other }
      }
    }
    best.improve(until: target)
    return best.counts
  }

  private mutating func keep(_ state: LayerState) {
    let found = state.most
    if found < most {
      most = found
      slots = state.slots
    }
  }
}
