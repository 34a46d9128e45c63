/// Branch and bound over counts and ranks, for layers so small that it ends.
///
/// Experts from heavy to light; each takes every set of ranks that leaves no rank at or above the
/// best known load, and those after it enough slots. Ranks that are equal so far are tried once.
struct ExactSearch {
  /// The best slots found, if better than what was known.
  private(set) var slots: [Int]?
  /// The load of the fullest rank for them, or the known one.
  private(set) var most: Double
  /// Whether the search ended before its nodes were used up, so that `most` is the optimum.
  var isComplete: Bool { nodes > 0 }

  private let weights: [Double]
  private let order: [Int]
  private let ranks: Int
  private let slotsPerRank: Int
  private let goal: Double
  private var nodes: Int
  private var load: [Double]
  private var held: [[Int]]
  private var free: Int

  init(
    weights: [Double], ranks: Int, slotsPerRank: Int, known: Double, goal: Double, nodes: Int
  ) {
    self.weights = weights
    self.ranks = ranks
    self.slotsPerRank = slotsPerRank
    self.goal = goal
    self.nodes = nodes
    most = known
    order = weights.indices.sorted {
      weights[$0] > weights[$1] || (weights[$0] == weights[$1] && $0 < $1)
    }
    load = Array(repeating: 0, count: ranks)
    held = Array(repeating: [], count: ranks)
    free = ranks * slotsPerRank
    visit(0)
  }

  private mutating func visit(_ index: Int) {
    nodes -= 1
    if nodes <= 0 || most <= goal { return }
    let rest = order.count - index
    if rest == 0 {
      guard free == 0 else { return }
      most = load.max() ?? 0
      slots = held.flatMap { $0 }
      return
    }
    // The others need a slot each and can fill `ranks` each.
    let fewest = max(1, free - (rest - 1) * ranks)
    let largest = min(ranks, free - (rest - 1))
    guard fewest <= largest else { return }
    for count in fewest...largest {
      let piece = weights[order[index]] / Double(count)
      if piece >= most * (1 - 1e-12) { continue }
      choose(index, count, 0, piece)
    }
  }

  private mutating func choose(_ index: Int, _ left: Int, _ from: Int, _ piece: Double) {
    if left == 0 {
      visit(index + 1)
      return
    }
    guard from + left <= ranks, nodes > 0 else { return }
    for rank in from...(ranks - left) {
      if held[rank].count == slotsPerRank || load[rank] + piece >= most * (1 - 1e-12) { continue }
      // A rank equal to one passed over just now gives nothing new.
      if rank > from && load[rank] == load[rank - 1] && held[rank] == held[rank - 1] { continue }
      let before = load[rank]
      load[rank] += piece
      held[rank].append(order[index])
      free -= 1
      choose(index, left - 1, rank + 1, piece)
      load[rank] = before
      held[rank].removeLast()
      free += 1
    }
  }
}
