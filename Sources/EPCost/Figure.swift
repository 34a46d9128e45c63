internal import Glibc

/// A quantity together with where it comes from and how sure it is.
///
/// The bounds enclose the true value nine times out of ten. They are asymmetric, since times have a
/// floor and no ceiling.
public struct Figure: Hashable, Sendable {
  /// What the value counts.
  public enum Unit: String, Hashable, Sendable, CaseIterable {
    case seconds, bytes, operations
    case perSecond = "per_second"
  }

  /// Where a value comes from, from the surest to the least sure.
  public enum Provenance: String, Hashable, Sendable, CaseIterable, Comparable {
    /// Somebody measured this very shape on this very hardware.
    case measured
    /// Between measured shapes on this hardware.
    case interpolated
    /// Beyond measured shapes, or from hardware of another kind, by the roofline's ratio.
    case extrapolated
    /// From peaks and a stated efficiency, with no measurement of the operation.
    case derived

    /// Whether the first is surer.
    public static func < (first: Provenance, second: Provenance) -> Bool {
      first.rank < second.rank
    }

    private var rank: Int {
      switch self {
      case .measured: return 0
      case .interpolated: return 1
      case .extrapolated: return 2
      case .derived: return 3
      }
    }
  }

  /// The value, in `unit`.
  public var value: Double
  /// What the value counts.
  public var unit: Unit
  /// Where it comes from.
  public var provenance: Provenance
  /// What was measured, or what the value was derived from.
  public var source: String
  /// The lower end of the 90 % interval, in `unit`.
  public var lower: Double
  /// The upper end of the 90 % interval, in `unit`.
  public var upper: Double

  /// Makes a figure whose interval is `value / spread ... value * spread`.
  public init(
    _ value: Double, unit: Unit = .seconds, provenance: Provenance, source: String,
    spread: Double = 1
  ) {
    precondition(spread >= 1, "an interval holds its value")
    self.value = value
    self.unit = unit
    self.provenance = provenance
    self.source = source
    lower = value / spread
    upper = value * spread
  }

  /// Nothing, surely.
  public static let zero = Figure(0, provenance: .measured, source: "")

  /// The figure and its interval times an exact factor: layers that repeat err together.
  public func scaled(by factor: Double) -> Figure {
    precondition(factor >= 0, "figures are not negative")
    var scaled = self
    scaled.value *= factor
    scaled.lower *= factor
    scaled.upper *= factor
    return scaled
  }

  /// The figure with an error of its own, independent of those it has: both ends move out by the
  /// root of the squares.
  public func widened(by spread: Double) -> Figure {
    precondition(spread >= 1, "an interval holds its value")
    if value <= 0 { return self }
    let own = log(spread)
    func end(_ bound: Double, _ sign: Double) -> Double {
      let width = log(max(bound, value * 1e-6) / value)
      return value * exp(sign * (width * width + own * own).squareRoot())
    }
    var widened = self
    widened.lower = end(lower, -1)
    widened.upper = end(upper, 1)
    return widened
  }

  /// The figure with an interval that does not reach below a bound that cannot be passed.
  public func bounded(below floor: Double) -> Figure {
    var bounded = self
    bounded.value = max(value, floor)
    bounded.lower = max(lower, min(floor, bounded.value))
    bounded.upper = max(upper, bounded.value)
    return bounded
  }

  /// The sum. Errors of the terms count as independent: deviations add in quadrature, upwards and
  /// downwards by themselves. Provenance is that of the least sure term that makes up at least a
  /// hundredth; sources are those of such terms.
  public static func sum(_ figures: [Figure]) -> Figure {
    guard let first = figures.first else { return .zero }
    let value = figures.reduce(0) { $0 + $1.value }
    let weighty = figures.filter { $0.value * 100 >= value }
    var sum = Figure(
      value, unit: first.unit, provenance: weighty.map(\.provenance).max() ?? .measured,
      source: joined(weighty))
    let down = figures.reduce(0) { $0 + ($1.value - $1.lower) * ($1.value - $1.lower) }
    let up = figures.reduce(0) { $0 + ($1.upper - $1.value) * ($1.upper - $1.value) }
    sum.lower = value - down.squareRoot()
    sum.upper = value + up.squareRoot()
    return sum
  }

  /// The largest: ends of the interval are the largest of the ends, provenance is the winner's.
  public static func maximum(_ figures: [Figure]) -> Figure {
    guard var winner = figures.first else { return .zero }
    for figure in figures.dropFirst() where figure.value > winner.value { winner = figure }
    winner.lower = figures.reduce(winner.lower) { max($0, $1.lower) }
    winner.upper = figures.reduce(winner.upper) { max($0, $1.upper) }
    return winner
  }

  private static func joined(_ figures: [Figure]) -> String {
    var seen: [String] = []
    for figure in figures where !figure.source.isEmpty && !seen.contains(figure.source) {
      seen.append(figure.source)
    }
    return seen.joined(separator: "; ")
  }
}
