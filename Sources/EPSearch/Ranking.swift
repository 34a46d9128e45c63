internal import EPCost
internal import EPIR

/// Keeps the best deployments and those that are not dominated.
struct Ranking {
  /// How many of the best are kept.
  static let count = 5

  /// What tells rows apart: the mesh of the pool that makes tokens, and whether it reads prompts.
  private struct Kind: Hashable {
    var isUnified: Bool
    var mesh: Mesh
  }

  private let problem: SearchProblem
  private var byKind: [Kind: Deployment] = [:]
  /// Ascending by tokens a second for a user.
  private(set) var front: [(Double, Deployment)] = []

  init(_ problem: SearchProblem) { self.problem = problem }

  /// The best of each kind that keep both limits, the best first.
  var best: [Deployment] {
    let all = byKind.values.sorted { first, second in
      if first.isBetter(than: second, problem) { return true }
      if second.isBetter(than: first, problem) { return false }
      return Ranking.order(first) < Ranking.order(second)
    }
    return Array(all.prefix(Ranking.count))
  }

  /// A text that orders what is equally good, so that results do not depend on hashes.
  private static func order(_ deployment: Deployment) -> String {
    "\(deployment.prefill?.shape.mesh.description ?? "") \(deployment.decode.shape.mesh)"
  }

  mutating func take(_ deployment: Deployment) {
    if deployment.requestRate <= 0 { return }
    enter(deployment)
    if !deployment.keeps(limitsOf: problem) { return }
    let kind = Kind(isUnified: deployment.prefill == nil, mesh: deployment.decode.shape.mesh)
    if let known = byKind[kind], !deployment.isBetter(than: known, problem) { return }
    byKind[kind] = deployment
  }

  /// Whether a deployment that makes tokens with `decode`, on so many devices, may change anything.
  ///
  /// The same comparisons as `take` makes, before there is a deployment: most change nothing.
  func heeds(
    _ decode: PoolPoint, requestRate: Double, devicesUsed: Int, latency: @autoclosure () -> Double
  ) -> Bool {
    if requestRate <= 0 { return false }
    let tokenRate = requestRate * Double(problem.outputLength)
    let throughput = tokenRate / Double(problem.cluster.devices)
    let used = tokenRate / Double(max(devicesUsed, 1))
    let (user, device) = (1 / decode.timePerToken, problem.objective == .cost ? used : throughput)
    let place = front.prefixCount { $0.0 < user }
    if place == front.count || front[place].1.yield(problem.objective) < device { return true }
    if decode.timePerToken > problem.timePerToken { return false }
    let kind = Kind(isUnified: false, mesh: decode.shape.mesh)
    guard let known = byKind[kind] else { return true }
    let score: Double
    switch problem.objective {
    case .throughput: score = throughput
    case .cost: score = used
    case .latency: score = 1 / latency()
    }
    return score >= known.score(problem) * (1 - 2e-9)
  }

  /// Keeps the deployment on the front of tokens for a user against tokens for a device.
  private mutating func enter(_ deployment: Deployment) {
    let (user, device) = (deployment.tokensPerUser, deployment.yield(problem.objective))
    let low = front.prefixCount { $0.0 < user }
    // Those from `low` on are at least as fast for a user; the first of them has the most.
    if low < front.count && front[low].1.yield(problem.objective) >= device { return }
    var start = low
    while start > 0 && front[start - 1].1.yield(problem.objective) <= device { start -= 1 }
    var end = low
    while end < front.count && front[end].0 <= user { end += 1 }
    front.replaceSubrange(start..<max(end, low), with: [(user, deployment)])
  }
}

extension Array {
  /// How many elements at the start something holds of that holds of none behind them, by halving.
  func prefixCount(_ holds: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
