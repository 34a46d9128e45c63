internal import Glibc

/// How likely tokens go to each expert of a layer, and what a router's draws have to be in proportion to so
/// that experts get their loads.
///
/// A token chooses different experts, so draws in proportion to loads would give popular ones less. Here
/// choices are draws one after the other, what was chosen left out, and what others of a token
/// have chosen counts by its mean; groups that tokens keep are drawn before, in the same way.
public struct RoutingChances: Sendable {
  /// What experts are drawn in proportion to.
  public private(set) var weights: [Double]
  /// Weights of groups, and the chance that a token keeps each; 1 without groups.
  private var groupWeights = [1.0]
  private var groups: [Double]
  /// Before each draw of groups: how likely each is left, and the mean weight of all that is left.
  private var groupDraws: [(left: [Double], rest: Double)] = []
  /// Before each draw of experts: how likely each of a kept group is left, and the mean weight of all that is left
  /// beside each group, that group's own counted in.
  private var draws: [(left: [Double], rest: [Double])] = []

  /// Finds weights for the loads of experts, of which tokens choose `topK` different ones; out of
  /// `kept` of `groups` groups of consecutive experts, where groups are limited.
  public init(loads: [Double], topK: Int, groups: Int = 1, kept: Int = 1) {
    let isLimited = groups > 1 && kept > 0 && kept < groups && loads.count % groups == 0
    self.groups = Array(repeating: 1, count: isLimited ? groups : 1)
    let total = max(loads.reduce(0, +), 1e-300)
    let targets = loads.map { min($0 / total * Double(topK), 0.999) }
    weights = targets
    // Means of what others draw do not add up to all choices: some draws more or fewer make up for it.
    var pace = 1.0
    for _ in 0..<32 {
      let missed = draw(topK, kept: kept)
      var (sum, off) = (0.0, 0.0)
      for (expert, target) in targets.enumerated() where target > 0 {
        let miss = pace * log(max(missed[expert], 1e-9))
        let chance = -expm1(miss)
        weights[expert] *= log1p(-target) / min(miss, -1e-9)
        sum += chance
        off = max(off, abs(chance / target - 1))
      }
      pace *= Double(topK) / max(sum, 1e-9)
      if off < 1e-3 { break }
    }
    _ = draw(topK, kept: kept)
  }

  /// The chance that a token has a row in each run of so many slots: in each rank, or each node.
  /// Replicas of an expert share its tokens evenly.
  public func visits(slots: [Int], each run: Int) -> [Double] {
    var replicas = Array(repeating: 0.0, count: weights.count)
    for expert in slots where expert >= 0 { replicas[expert] += 1 }
    let size = weights.count / groups.count
    return stride(from: 0, to: slots.count, by: run).map { start in
      var missed = Array(repeating: 1.0, count: groups.count)
      for draw in draws {
        // What a token that was not here yet can still draw here, and what of it all do on average.
        var own = Array(repeating: 0.0, count: groups.count)
        var left = own
        for expert in slots[start..<min(start + run, slots.count)] where expert >= 0 {
          let weight = weights[expert] / replicas[expert]
          own[expert / size] += weight
          left[expert / size] += weight * draw.left[expert]
        }
        for group in groups.indices {
          missed[group].pass(own[group], of: draw.rest[group] - left[group])
        }
      }
      if groups.count == 1 { return 1 - missed[0] }
      let own = zip(groupWeights, missed).map { $0 * (1 - $1) }
      var none = 1.0
      for draw in groupDraws {
        let left = zip(own, draw.left).reduce(0) { $0 + $1.0 * $1.1 }
        none.pass(own.reduce(0, +), of: draw.rest - left)
      }
      return 1 - none
    }
  }

  /// Works out draws from weights; returns the chance that a token does not choose each expert.
  private mutating func draw(_ topK: Int, kept: Int) -> [Double] {
    let size = weights.count / groups.count
    func sums(_ left: [Double]) -> [Double] {
      groups.indices.map { group in
        (group * size..<(group + 1) * size).reduce(0) { $0 + weights[$1] * left[$1] }
      }
    }
    if groups.count > 1 {
      groupWeights = sums(Array(repeating: 1, count: weights.count))
      groupDraws = []
      var left = Array(repeating: 1.0, count: groups.count)
      for _ in 0..<kept {
        let rest = zip(groupWeights, left).reduce(0) { $0 + $1.0 * $1.1 }
        groupDraws.append((left, rest))
        for group in left.indices {
          left[group].pass(groupWeights[group], of: rest - left[group] * groupWeights[group])
        }
      }
      groups = left.map { 1 - $0 }
    }
    var left = Array(repeating: 1.0, count: weights.count)
    draws = []
    for _ in 0..<topK {
      let own = sums(left)
      let all = zip(own, groups).reduce(0) { $0 + $1.0 * $1.1 }
      let rest = groups.indices.map { group in
        if groups.count == 1 { return own[group] }
        // Beside a kept group there are one fewer of the others.
        let others = (all - own[group] * groups[group]) * Double(kept - 1)
        return own[group] + others / max(Double(kept) - groups[group], 1e-9)
      }
      draws.append((left, rest))
      for expert in left.indices {
        left[expert].pass(
          weights[expert], of: rest[expert / size] - left[expert] * weights[expert])
      }
    }
    return left.indices.map { 1 - (1 - left[$0]) * groups[$0 / size] }
  }
}

extension Double {
  /// Takes from the chance that something was not drawn that it is now: something of a weight, where what else
  /// there is to draw weighs `others`.
  fileprivate mutating func pass(_ weight: Double, of others: Double) {
    if weight > 0 { self *= max(others, 0) / (max(others, 0) + weight) }
  }
}
