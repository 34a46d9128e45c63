internal import EPIR
internal import EPPlacement
internal import EPPlan
internal import Glibc

/// Rows of a rank's slots.
enum SlotRows {
  /// So many in each of so many.
  case alike(rows: Double, slots: Int)
  /// Those of each.
  case each([Double])

  /// Rows of all slots.
  var sum: Double {
    switch self {
    case .alike(let rows, let slots): rows * Double(slots)
    case .each(let rows): rows.reduce(0, +)
    }
  }

  /// Slots that have a row, on average.
  var groups: Double {
    switch self {
    case .alike(let rows, let slots): Double(slots) * (1 - exp(-rows))
    case .each(let rows): rows.reduce(0) { $0 + (1 - exp(-$1)) }
    }
  }
}

extension KernelPlanner {
  /// Rows of the busiest rank's slots, and that rank's rows over the mean.
  mutating func slotRows(of step: StepShape) -> (rows: SlotRows, imbalance: Double) {
    guard let placement, let dispatched = outline.dispatched else { return (.each([]), 1) }
    let mesh = estimator.pool.mesh
    let own =
      dispatched.rows == .ownTokens ? step.tokens / Double(mesh.tp) : step.tokens
    let copies = own * Double(mesh.ep) * dispatched.copies
    let assumed = estimator.assumedBalancedness
    let loads = estimator.loads?.row(ofLayer: layer)
    if loads == nil && assumed < 1 {
      let slots = Double(max(placement.slotsPerRank, 1))
      let rows = copies / Double(mesh.ep) / slots / assumed
      return (.alike(rows: rows, slots: placement.slotsPerRank), 1 / assumed)
    }
    let (busiest, most) = busiest(placement, loads)
    return (.each(busiest.map { $0 * copies }), max(1, most * Double(mesh.ep)))
  }

  /// The shares of the busiest rank's slots, and their sum.
  private mutating func busiest(
    _ placement: ExpertPlacement, _ loads: [Double]?
  ) -> (shares: [Double], most: Double) {
    if loads == nil, let even { return even }
    let shares = placement.slotShares(for: loads)
    var busiest: ArraySlice<Double> = []
    var most = -1.0
    for rank in 0..<(shares.count / max(placement.slotsPerRank, 1)) {
      let slots = shares[(rank * placement.slotsPerRank)..<((rank + 1) * placement.slotsPerRank)]
      let sum = slots.reduce(0, +)
      if sum > most { (most, busiest) = (sum, slots) }
    }
    if loads == nil { even = (Array(busiest), most) }
    return (Array(busiest), most)
  }
}
