/// A placement that is near the one in force.
public struct RebalancePoint: Hashable, Sendable {
  /// Slots whose rank did not hold their expert before, so that it has to be copied.
  public var copies: Int
  /// Mean over fullest rank for the loads it was made for, replicas sharing as they will.
  public var balance: Double
  /// What the balance is expected to be when loads drift on; orders points of a front.
  public var expectedBalance: Double
  /// The expert in each slot.
  public var slots: [Int]
}

/// Finds placements near the one in force: the front of balance against copies.
///
/// The search starts from the placement in force and changes as few slots as it can, so a front
/// costs one pass: each step is the move that lowers the risk most for its copies.
public struct Rebalancer: Sendable {
  /// The slots.
  public let shape: PlacementShape
  /// How much an expert's load varies from a window to the next, as a standard deviation of its
  /// logarithm; 0 for loads that stay.
  public let drift: Double
  /// How strongly the fullest ranks count before others; with even shares.
  public let sharpness: Double
  /// How replicas will share tokens.
  public let sharing: Sharing

  /// How replicas share the tokens of an expert.
  public enum Sharing: Hashable, Sendable {
    /// Each takes the same part.
    case even
    /// Every batch is split so that its fullest rank gets as few tokens as possible.
    case split
  }

  /// Makes a rebalancer.
  public init(
    shape: PlacementShape, drift: Double = 0.1, sharpness: Double = 12, sharing: Sharing = .even
  ) {
    self.shape = shape
    self.sharing = sharing
    self.drift = min(max(drift, 0), 2)
    self.sharpness = min(max(sharpness, 1), 200)
  }

  /// How much loads varied between two windows: see `drift`.
  public static func drift(from old: ExpertLoads, to new: ExpertLoads) -> Double {
    var sum = 0.0
    var squares = 0.0
    var count = 0.0
    for (before, after) in zip(old.rows, new.rows) {
      for (a, b) in zip(before, after) where a >= 1 && b >= 1 {
        let step = naturalLogarithm(b / a)
        sum += step
        squares += step * step
        count += 1
      }
    }
    if count < 2 { return 0 }
    return max(squares / count - (sum / count) * (sum / count), 0).squareRoot()
  }

  /// Placements of a layer from the one in force on, with ever more copies up to `budget`, each
  /// better than those before.
  public func front(
    from slots: [Int], weights: [Double], budget: Int
  ) throws(PlacementError) -> [RebalancePoint] {
    try check(slots, weights)
    return search(from: slots, weights: weights, budget: budget)
  }

  private func check(_ slots: [Int], _ weights: [Double]) throws(PlacementError) {
    if let fault = shape.fault(in: slots) { throw .shape("the placement in force: \(fault)") }
    guard weights.count == shape.experts else {
      throw .shape("\(weights.count) loads for \(shape.experts) experts")
    }
  }

  private func search(from slots: [Int], weights: [Double], budget: Int) -> [RebalancePoint] {
    if sharing == .split {
      return SplitSearch(
        shape: shape, slots: slots, weights: weights, drift: drift, budget: budget
      ).points
    }
    var search = RiskState(
      LayerState(
        weights: weights, ranks: shape.ranks, slotsPerRank: shape.slotsPerRank, slots: slots),
      drift: drift, sharpness: sharpness)
    var points = [point(search)]
    // Every step lowers the risk, so this ends; the factor bounds steps without further copies.
    for _ in 0..<(4 * budget + 8) {
      guard let move = search.bestMove(budget: budget, width: 12) else { break }
      search.apply(move)
      while let last = points.last, last.copies >= search.copies, points.count > 1 {
        points.removeLast()
      }
      if search.copies > (points.last?.copies ?? 0) { points.append(point(search)) }
    }
    return points
  }

  private func point(_ search: RiskState) -> RebalancePoint {
    let most = search.state.most
    let mean = search.state.load.reduce(0, +) / Double(shape.ranks)
    return RebalancePoint(
      copies: search.copies, balance: most > 0 ? mean / most : 1,
      expectedBalance: 1 / max(search.expectedMost, 1e-9), slots: search.state.slots)
  }

  /// Placements of all layers with at most `budget` copies together, spent where they help most.
  public func rebalance(
    _ placements: [[Int]], for loads: ExpertLoads, budget: Int
  ) throws(PlacementError) -> [RebalancePoint] {
    try front(from: placements, for: loads, budget: budget).points(budget: budget)
  }

  /// The fronts of all layers, for budgets of up to `budget` copies together.
  public func front(
    from placements: [[Int]], for loads: ExpertLoads, budget: Int, threads: Int = 2
  ) throws(PlacementError) -> RebalanceFront {
    guard placements.count == loads.rows.count else {
      throw .shape("\(placements.count) placements for \(loads.rows.count) layers")
    }
    for (slots, weights) in zip(placements, loads.rows) { try check(slots, weights) }
    // A layer may take more than its even part of the budget, within reason.
    let share = min(budget, 2 * budget / max(placements.count, 1) + 2)
    let fronts = concurrentMap(placements.count, threads: threads) {
      search(from: placements[$0], weights: loads.rows[$0], budget: share)
    }
    return RebalanceFront(fronts)
  }
}
