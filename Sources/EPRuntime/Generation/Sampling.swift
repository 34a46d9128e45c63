#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// How the next token is chosen from logits.
public struct Sampling: Hashable, Sendable {
  /// What logits are divided by; 0 takes the largest.
  public var temperature: Double
  /// Only so many of the most likely tokens are drawn from, if set.
  public var topK: Int?
  /// Only the fewest most likely tokens whose probabilities sum to this are drawn from, if set.
  public var topP: Double?
  /// What draws depend on, beside prompt and position: the same seed gives the same tokens, however
  /// sequences are batched.
  public var seed: UInt64

  /// Makes a rule; without arguments it is greedy.
  public init(temperature: Double = 0, topK: Int? = nil, topP: Double? = nil, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }

  /// The most likely token, always.
  public static let greedy = Sampling()

  /// The token chosen for a position of a prompt; of equal logits the lower token wins.
  public func token(from logits: ArraySlice<Float>, prompt: Int, position: Int) -> Int32 {
    if temperature <= 0 || topK == 1 {
      var best = logits.startIndex
      for index in logits.indices where logits[index] > logits[best] { best = index }
      return Int32(best - logits.startIndex)
    }
    let order = logits.indices.sorted { (logits[$1], $0) < (logits[$0], $1) }
    let kept = order.prefix(max(topK ?? order.count, 1))
    let most = kept.first.map { Double(logits[$0]) } ?? 0
    let weights = kept.map { exp((Double(logits[$0]) - most) / temperature) }
    let sum = weights.reduce(0, +)
    var count = weights.count
    if let topP {
      var share = 0.0
      count = 0
      while count < weights.count && (count == 0 || share < topP) {
        share += weights[count] / sum
        count += 1
      }
    }
    let draw = uniform(prompt, position) * weights.prefix(count).reduce(0, +)
    var passed = 0.0
    for (index, weight) in zip(kept, weights.prefix(count)) {
      passed += weight
      if draw < passed { return Int32(index - logits.startIndex) }
    }
    return Int32(kept[kept.startIndex + count - 1] - logits.startIndex)
  }

  /// A number from 0 up to 1 that depends on seed, prompt and position alone.
  private func uniform(_ prompt: Int, _ position: Int) -> Double {
    func mix(_ x: UInt64) -> UInt64 {
      var x = x &+ 0x9e37_79b9_7f4a_7c15
      x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
      x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
      return x ^ (x >> 31)
    }
    let bits = mix(mix(mix(seed) ^ UInt64(prompt)) ^ UInt64(position))
    return Double(bits >> 11) * 0x1p-53
  }
}
