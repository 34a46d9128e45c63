internal import Glibc

/// Simulated time, in picoseconds. Integers, so that sums do not depend on their order.
public typealias Ticks = Int64

extension Ticks {
  /// Ticks of a second.
  public static let second: Ticks = 1_000_000_000_000

  /// The nearest number of ticks.
  public init(seconds: Double) {
    self = Ticks(Swift.min(Swift.max(seconds, 0), 1e6) * Double(Ticks.second) + 0.5)
  }

  /// Seconds.
  public var seconds: Double { Double(self) / Double(Ticks.second) }
  /// Whole nanoseconds.
  public var nanoseconds: Int { Int(self / 1000) }
}
