/// Lower bounds on the load of the fullest rank when replicas share an expert's tokens evenly.
///
/// docs/placement.md states and proves them. All hold for every choice of replica counts.
struct RankLoadBound {
  private let weights: [Double]
  private let ranks: Int
  private let slotsPerRank: Int
  private let total: Double
  private var floors: [Int]
  private var savings: [Double]

  init(weights: [Double], ranks: Int, slotsPerRank: Int) {
    // Only the order of summation depends on it; equal multisets then give equal bounds.
    self.weights = weights.sorted(by: >)
    self.ranks = ranks
    self.slotsPerRank = slotsPerRank
    total = self.weights.reduce(0, +)
    floors = Array(repeating: 1, count: weights.count)
    savings = []
    savings.reserveCapacity(weights.count)
  }

  /// The largest of the bounds; `largestPiece` is the smallest possible largest piece.
  mutating func value(largestPiece: Double) -> Double {
    let mean = total / Double(ranks)
    var bound = max(mean, largestPiece)
    guard total > 0 && slotsPerRank > 1 else { return bound }
    if ranks * slotsPerRank == weights.count { bound = max(bound, withoutReplicas()) }
    let steps = 24
    for step in 1..<steps {
      let share = Double(step) / Double(steps * slotsPerRank)
      guard excess(bound, share) > 0 else { continue }
      var low = bound
      var high = bound * 1.02
      while excess(high, share) > 0 && high < total {
        low = high
        high *= 1.1
      }
      for _ in 0..<14 {
        let middle = (low + high) / 2
        if excess(middle, share) > 0 { low = middle } else { high = middle }
      }
      bound = low
    }
    // Rounding in the sums above must not lift the bound over a load that is reached.
    return max(mean, largestPiece, bound * (1 - 1e-9))
  }

  /// The pigeonhole bound for one slot an expert: of the `k` heaviest experts one is on a rank with
  /// the lightest others.
  private func withoutReplicas() -> Double {
    var bound = 0.0
    let lightest = weights.suffix(slotsPerRank - 1).reduce(0, +)
    bound = weights[0] + lightest
    // `ranks + 1` experts: two of them share a rank.
    if weights.count > ranks && slotsPerRank >= 2 {
      let others = weights.suffix(slotsPerRank - 2).reduce(0, +)
      bound = max(bound, weights[ranks - 1] + weights[ranks] + others)
    }
    return bound
  }

  /// By how much the function `f` of width `share * limit` exceeds its capacity for the best counts;
  /// positive when no placement has all ranks at `limit` or below.
  private mutating func excess(_ limit: Double, _ share: Double) -> Double {
    let width = share * limit
    let knee = limit - Double(slotsPerRank - 1) * width
    let slope = knee - width
    var left = ranks * slotsPerRank
    var sum = 0.0
    savings.removeAll(keepingCapacity: true)
    for weight in weights {
      if weight <= width {
        sum += weight
        left -= 1
      } else if weight <= knee {
        sum += width
        left -= 1
      } else {
        let count = (weight / knee).rounded(.down)
        left -= Int(count)
        let value = min(weight, count * width) + max(weight - count * knee, 0)
        let above = min(weight, (count + 1) * width)
        sum += value
        if value > above { savings.append(value - above) }
      }
    }
    let capacity = Double(ranks * slotsPerRank) * width
    if left < 0 { return sum - Double(left) * slope - capacity }
    if left >= savings.count {
      for saving in savings { sum -= saving }
    } else {
      savings.sort(by: >)
      for index in 0..<left { sum -= savings[index] }
    }
    return sum - capacity * (1 + 1e-12)
  }
}
