/// What copies can buy, all layers together: the front of balance against copies.
///
/// A budget for all layers is spent along the upper hulls of the layers' fronts, the steepest step
/// first, so the choice for a budget is part of the choice for any larger one.
public struct RebalanceFront: Hashable, Sendable {
  private let hulls: [[RebalancePoint]]

  init(_ fronts: [[RebalancePoint]]) { hulls = fronts.map(RebalanceFront.hull) }

  /// The copies that all layers together can make use of.
  public var copies: Int { hulls.reduce(0) { $0 + ($1.last?.copies ?? 0) } }

  /// A placement of each layer, with at most `budget` copies together.
  public func points(budget: Int) -> [RebalancePoint] {
    var position = Array(repeating: 0, count: hulls.count)
    var left = budget
    while true {
      var best = 0.0
      var chosen = -1
      for (layer, hull) in hulls.enumerated() where position[layer] + 1 < hull.count {
        let next = hull[position[layer] + 1]
        if next.copies - hull[position[layer]].copies > left { continue }
        let value = RebalanceFront.slope(hull[position[layer]], next)
        if value > best {
          best = value
          chosen = layer
        }
      }
      if chosen < 0 { break }
      let hull = hulls[chosen]
      left -= hull[position[chosen] + 1].copies - hull[position[chosen]].copies
      position[chosen] += 1
    }
    return hulls.indices.map { hulls[$0][position[$0]] }
  }

  /// The points that no mixture of others beats, by expected balance.
  private static func hull(_ points: [RebalancePoint]) -> [RebalancePoint] {
    var hull: [RebalancePoint] = []
    for point in points {
      if let last = hull.last, point.expectedBalance <= last.expectedBalance { continue }
      while hull.count >= 2,
        slope(hull[hull.count - 2], hull[hull.count - 1]) <= slope(hull[hull.count - 1], point)
      {
        hull.removeLast()
      }
      hull.append(point)
    }
    return hull
  }

  private static func slope(_ a: RebalancePoint, _ b: RebalancePoint) -> Double {
    (b.expectedBalance - a.expectedBalance) / Double(max(b.copies - a.copies, 1))
  }
}
