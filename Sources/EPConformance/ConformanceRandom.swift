/// SplitMix64, so that the same seed gives the same cases everywhere.
struct ConformanceRandom: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var x = state
    x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
    return x ^ (x >> 31)
  }

  /// Numbers of about 1.
  mutating func reals(_ count: Int, in range: ClosedRange<Float> = -1.5...1.5) -> [Float] {
    (0..<count).map { _ in Float.random(in: range, using: &self) }
  }

  /// Indices below a bound.
  mutating func indices(_ count: Int, below bound: Int, from least: Int = 0) -> [Int32] {
    (0..<count).map { _ in Int32(Int.random(in: least..<bound, using: &self)) }
  }

  /// A size, odd ones and powers of two among them.
  mutating func size(upTo most: Int = 64) -> Int {
    let sizes = [1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 31, 33, 48, 64].filter { $0 <= most }
    return sizes[Int.random(in: 0..<sizes.count, using: &self)]
  }
}
