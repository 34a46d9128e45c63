import EPPlacement

/// The smallest possible load of the fullest rank, by trying everything.
struct BruteForce {
  private let shape: PlacementShape
  private let weights: [Double]
  private(set) var best = Double.infinity

  init(_ shape: PlacementShape, _ weights: [Double]) {
    self.shape = shape
    self.weights = weights.sorted(by: >)
    var counts = Array(repeating: 1, count: weights.count)
    chooseCounts(0, shape.slots - weights.count, &counts)
  }

  private mutating func chooseCounts(_ expert: Int, _ left: Int, _ counts: inout [Int]) {
    if expert == weights.count {
      if left == 0 {
        var load = Array(repeating: 0.0, count: shape.ranks)
        var used = Array(repeating: 0, count: shape.ranks)
        assign(0, counts, &load, &used)
      }
      return
    }
    for extra in 0...min(left, shape.ranks - 1) {
      counts[expert] = 1 + extra
      // Even the mean of this expert's pieces is too much.
      if weights[expert] / Double(1 + extra) >= best { continue }
      chooseCounts(expert + 1, left - extra, &counts)
    }
    counts[expert] = 1
  }

  private mutating func assign(
    _ expert: Int, _ counts: [Int], _ load: inout [Double], _ used: inout [Int]
  ) {
    if expert == counts.count {
      best = min(best, load.max() ?? 0)
      return
    }
    choose(expert, counts[expert], 0, counts, &load, &used)
  }

  /// Chooses ranks for the remaining pieces of an expert, ascending.
  private mutating func choose(
    _ expert: Int, _ left: Int, _ from: Int, _ counts: [Int], _ load: inout [Double],
    _ used: inout [Int]
  ) {
    if left == 0 {
      assign(expert + 1, counts, &load, &used)
      return
    }
    let piece = weights[expert] / Double(counts[expert])
    var sawEmpty = false
    for rank in from..<max(from, shape.ranks) where used[rank] < shape.slotsPerRank {
      // Ranks without any expert are alike.
      if used[rank] == 0 && left == counts[expert] && left == 1 {
        if sawEmpty { continue }
        sawEmpty = true
      }
      if load[rank] + piece >= best { continue }
      load[rank] += piece
      used[rank] += 1
      choose(expert, left - 1, rank + 1, counts, &load, &used)
      load[rank] -= piece
      used[rank] -= 1
    }
  }
}
