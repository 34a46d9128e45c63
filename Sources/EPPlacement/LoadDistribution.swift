/// A named shape of expert loads, for when nothing was measured.
public enum LoadDistribution: Hashable, Sendable {
  /// All experts alike.
  case uniform
  /// The expert of rank `k` has a load of `k` to the power of minus the exponent.
  case zipf(exponent: Double)
  /// Logarithms of loads are normally distributed with this standard deviation.
  case lognormal(sigma: Double)

  /// What names of distributions begin with.
  public static let names = ["uniform", "zipf", "lognormal"]

  /// Reads `uniform`, `zipf:1.0` or `lognormal:0.5`.
  public init(parsing text: String) throws(PlacementError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 1 && text == "uniform" {
      self = .uniform
      return
    }
    guard parts.count == 2, let number = Double(parts[1]), number >= 0, number <= 10 else {
      throw .distribution(text)
    }
    switch parts[0] {
    case "zipf": self = .zipf(exponent: number)
    case "lognormal": self = .lognormal(sigma: number)
    default: throw .distribution(text)
    }
  }

  /// Loads of a layer that add up to `tokens`, which experts are heavy being drawn from the seed.
  public func loads(
    layers: Int, experts: Int, tokens: Double, seed: UInt64
  ) throws(PlacementError) -> ExpertLoads {
    guard layers > 0 && experts > 0 && tokens >= 0 && tokens <= 1e15 else {
      throw .shape("layers and experts must be positive, tokens not negative")
    }
    guard layers <= (1 << 24) / experts else {
      throw .shape("\(layers) layers of \(experts) experts; at most 2^24 loads are drawn")
    }
    var random = SeededRandom(seed: seed)
    var rows: [[Double]] = []
    for _ in 0..<layers {
      var row = weights(experts, &random)
      let scale = tokens / row.reduce(0, +)
      for expert in row.indices { row[expert] *= scale }
      rows.append(row)
    }
    return try ExpertLoads(rows: rows)
  }

  private func weights(_ experts: Int, _ random: inout SeededRandom) -> [Double] {
    switch self {
    case .uniform: return Array(repeating: 1, count: experts)
    case .zipf(let exponent):
      var order = Array(0..<experts)
      random.shuffle(&order)
      return order.map { power(Double($0 + 1), -exponent) }
    case .lognormal(let sigma):
      return (0..<experts).map { _ in exponential(sigma * random.normal()) }
    }
  }
}
