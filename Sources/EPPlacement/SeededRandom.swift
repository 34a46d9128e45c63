/// SplitMix64: the same numbers from a seed on every machine.
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64
  private var spare: Double?

  /// Starts the sequence of a seed.
  public init(seed: UInt64) { state = seed }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number in `0..<1`, uniform over multiples of 2^-53.
  public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// An integer in `0..<bound`; the bias below 2^-40 is of no matter here.
  public mutating func below(_ bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// A normally distributed number, by the polar method of Marsaglia and Bray.
  public mutating func normal() -> Double {
    if let value = spare {
      spare = nil
      return value
    }
    while true {
      let x = 2 * unit() - 1
      let y = 2 * unit() - 1
      let square = x * x + y * y
      guard square < 1 && square > 0 else { continue }
      let scale = (-2 * naturalLogarithm(square) / square).squareRoot()
      spare = y * scale
      return x * scale
    }
  }

  /// Shuffles in place.
  public mutating func shuffle(_ values: inout [Int]) {
    for last in stride(from: values.count - 1, to: 0, by: -1) {
      values.swapAt(last, below(last + 1))
    }
  }
}
