internal import EPCost
public import EPIR
internal import EPPlacement

/// What becomes of a deployment when something is a fifth worse than assumed.
public struct Sensitivity: Sendable {
  /// What may be worse.
  public enum Cause: String, Hashable, Sendable, CaseIterable {
    /// The busiest expert rank lies further above the mean.
    case skew
    /// Fewer drafted tokens are right.
    case acceptance
    /// Links carry less, inside nodes and between them.
    case bandwidth
  }

  /// How much worse.
  public static let share = 0.2

  /// What is worse.
  public var cause: Cause
  /// The same pools and instances then; nil where they cannot be worked out.
  public var deployment: Deployment?
  /// Whether the limits still hold.
  public var keepsLimits: Bool
  /// The row that is then the best one, from 0; nil where none keeps the limits.
  public var bestRow: Int?
}

extension SearchProblem {
  /// The problem with one thing a fifth worse.
  public func worsened(_ cause: Sensitivity.Cause) -> SearchProblem {
    var other = self
    let left = 1 - Sensitivity.share
    switch cause {
    case .skew: other.skew.factor *= 1 + Sensitivity.share
    case .acceptance: other.acceptance *= left
    case .bandwidth:
      other.cost.hardware.scaleUpBandwidth *= left
      other.cost.hardware.scaleOutBandwidth *= left
    }
    return other
  }
}

extension SearchResult {
  /// What a row is sensitive to, and which of the rows is best then.
  public func sensitivities(ofRow row: Int) throws(Diagnostics) -> [Sensitivity] {
    let causes = Sensitivity.Cause.allCases
    return try concurrentMap(causes.count, threads: threads) { index in
      Result { () throws(Diagnostics) in try sensitivity(ofRow: row, to: causes[index]) }
    }.map { (made) throws(Diagnostics) in try made.get() }
  }

  private func sensitivity(
    ofRow row: Int, to cause: Sensitivity.Cause
  ) throws(Diagnostics) -> Sensitivity {
    let other = problem.worsened(cause)
    let evaluator = PoolEvaluator(try SearchTables(other))
    var own: Deployment?
    var bestRow: Int?
    var best: Deployment?
    for (index, deployment) in self.best.enumerated() {
      guard let again = reconsidered(deployment, with: evaluator) else { continue }
      if index == row { own = again }
      if !again.keeps(limitsOf: problem) { continue }
      if best.map({ again.isBetter(than: $0, other) }) ?? true {
        (best, bestRow) = (again, index)
      }
    }
    return Sensitivity(
      cause: cause, deployment: own,
      keepsLimits: own?.keeps(limitsOf: problem) ?? false, bestRow: bestRow)
  }
}
