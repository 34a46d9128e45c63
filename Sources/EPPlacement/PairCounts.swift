/// A search over replica counts for ranks of two slots, where counts decide everything.
///
/// For given counts the best pairing takes the largest piece with the smallest, the second largest
/// with the second smallest, and so on, so a choice of counts is judged without placing anything.
struct PairCounts {
  /// Slots of each expert.
  private(set) var counts: [Int]
  private let weights: [Double]
  private let most: Int
  /// All pieces, ascending, and the expert of each.
  private var sizes: [Double] = []
  private var owners: [Int] = []
  private var scratch: [Double] = []
  private var work: Int

  /// Starts at the given counts; `work` is how many pieces may be looked at in all.
  init(weights: [Double], counts: [Int], most: Int, work: Int) {
    self.weights = weights
    self.counts = counts
    self.most = most
    self.work = work
    sort()
  }

  /// The load of the fullest rank.
  var maximum: Double {
    var result = 0.0
    let last = sizes.count - 1
    for index in 0..<(sizes.count / 2) { result = max(result, sizes[index] + sizes[last - index]) }
    return result
  }

  /// Lowers the maximum by moving slots between experts until it is at most `target`, the work is
  /// used up, or no single move helps.
  mutating func improve(until target: Double) {
    var step = 0.02
    while maximum > target && work > 0 && step > 0.0005 {
      let kept = counts
      let goal = max(target, maximum * (1 - step))
      if !reach(goal) {
        counts = kept
        sort()
        step /= 3
      }
    }
  }

  /// Moves slots while that lowers the excess over `goal`; whether none is left.
  private mutating func reach(_ goal: Double) -> Bool {
    var excess = excess(of: sizes, over: goal)
    while excess > 0 {
      guard work > 0, let (to, from, value) = bestMove(goal, excess) else { return false }
      counts[to] += 1
      counts[from] -= 1
      sort()
      excess = value
    }
    return true
  }

  /// The best of a few promising moves of a slot: to experts in overfull pairs, from experts whose
  /// pieces would still be small.
  private mutating func bestMove(_ goal: Double, _ excess: Double) -> (Int, Int, Double)? {
    var takers: [Int] = []
    let last = sizes.count - 1
    var overfull: [(Double, Int)] = []
    for index in 0..<(sizes.count / 2) where sizes[index] + sizes[last - index] > goal {
      overfull.append((sizes[index] + sizes[last - index], index))
    }
    overfull.sort { $0.0 > $1.0 || ($0.0 == $1.0 && $0.1 < $1.1) }
    for (_, index) in overfull {
      let heavy = owners[last - index]
      if takers.count < 10 && counts[heavy] < most && !takers.contains(heavy) {
        takers.append(heavy)
      }
      let light = owners[index]
      if takers.count < 10 && counts[light] < most && !takers.contains(light) {
        takers.append(light)
      }
    }
    var givers: [(Double, Int)] = []
    for expert in counts.indices where counts[expert] > 1 {
      givers.append((weights[expert] / Double(counts[expert] - 1), expert))
    }
    givers.sort { $0.0 < $1.0 || ($0.0 == $1.0 && $0.1 < $1.1) }
    var best = excess * (1 - 1e-9)
    var found: (Int, Int, Double)?
    // Besides the smallest pieces, those that would just fit opposite a small one.
    let large = givers.dropFirst(12).filter { $0.0 < goal }.suffix(4)
    for (size, from) in givers.prefix(12) + large {
      if size > goal { continue }
      for to in takers where to != from {
        work -= sizes.count
        fill(to: to, from: from)
        let value = self.excess(of: scratch, over: goal)
        if value < best {
          best = value
          found = (to, from, value)
        }
      }
    }
    return found
  }

  private func excess(of sizes: [Double], over goal: Double) -> Double {
    var sum = 0.0
    let last = sizes.count - 1
    for index in 0..<(sizes.count / 2) {
      let over = max(sizes[index] + sizes[last - index] - goal, 0)
      sum += over * over
    }
    return sum
  }

  private mutating func sort() {
    var order = Array(weights.indices)
    let pieces = weights.indices.map { weights[$0] / Double(counts[$0]) }
    order.sort { pieces[$0] < pieces[$1] || (pieces[$0] == pieces[$1] && $0 < $1) }
    sizes.removeAll(keepingCapacity: true)
    owners.removeAll(keepingCapacity: true)
    for expert in order {
      for _ in 0..<counts[expert] {
        sizes.append(pieces[expert])
        owners.append(expert)
      }
    }
    if scratch.count != sizes.count { scratch = sizes }
  }

  /// Merges the pieces as they would be after moving a slot.
  private mutating func fill(to: Int, from: Int) {
    var first = (size: weights[to] / Double(counts[to] + 1), left: counts[to] + 1)
    var second = (size: weights[from] / Double(counts[from] - 1), left: counts[from] - 1)
    if first.size > second.size { swap(&first, &second) }
    var next = 0
    for index in sizes.indices {
      if owners[index] == to || owners[index] == from { continue }
      let size = sizes[index]
      while first.left > 0 && first.size <= size {
        scratch[next] = first.size
        next += 1
        first.left -= 1
      }
      while second.left > 0 && second.size <= size {
        scratch[next] = second.size
        next += 1
        second.left -= 1
      }
      scratch[next] = size
      next += 1
    }
    for rest in [first, second] {
      for _ in 0..<rest.left {
        scratch[next] = rest.size
        next += 1
      }
    }
  }
}
