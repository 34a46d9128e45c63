internal import Glibc

/// How the experts of a layer have been used: for each the share of steps that used it, over memories of
/// unlike length. Experts that many tokens want stay in the long one although one token does not want them,
/// and those of a run of tokens that are alike are in the short ones; `ExpertOdds` knows which tells more.
struct ExpertHistory: Sendable {
  /// What was before a step counts so much after it: nothing, half after 8 steps, half after 256.
  static let decays = SIMD3(0, exp2(-1.0 / 8), exp2(-1.0 / 256))

  private var shares: [SIMD3<Double>]
  /// Uses of a layer that is used in every step add up to this.
  private var whole = SIMD3<Double>(repeating: 0)
  private var uses = 0
  private var steps = 0

  init(experts: Int) { shares = Array(repeating: SIMD3(repeating: 0), count: experts) }

  /// Notes the experts that a step uses, each once, when `odds` has learnt from them.
  mutating func note(_ used: [Int], learning odds: inout ExpertOdds) {
    var isUsed = Array(repeating: false, count: shares.count)
    for expert in used { isUsed[expert] = true }
    if steps > 0 {
      odds.learn(shares.indices.map { (parts(of: $0), isUsed[$0]) })
    }
    let kept = ExpertHistory.decays
    for expert in shares.indices {
      shares[expert] *= kept
      if isUsed[expert] { shares[expert] += 1 - kept }
    }
    whole = 1 - (1 - whole) * kept
    uses += used.count
    steps += 1
  }

  /// The shares of an expert. None is 0 or 1: what has not been may be.
  private func parts(of expert: Int) -> SIMD3<Double> {
    let mean = Double(uses) / Double(max(steps * shares.count, 1))
    return 0.98 * shares[expert] / whole + 0.02 * mean
  }

  /// The chance that the layer's next step uses an expert; 0 before the first step.
  func chance(of expert: Int, by odds: ExpertOdds) -> Double {
    steps == 0 ? 0 : (odds.weights * parts(of: expert)).sum()
  }
}

/// How much each of the shares in `ExpertHistory` counts, as learnt from what all layers have used so far:
/// exponentiated gradient on the logarithm of the chance (Kivinen and Warmuth 1997, "Exponentiated gradient
/// versus gradient descent for linear predictors"). `ExpertHistoryTests` compares it with other rules.
struct ExpertOdds: Sendable {
  /// They add up to 1.
  private(set) var weights = SIMD3<Double>(repeating: 1.0 / 3)

  private static let rate = 0.5

  /// Learns from the shares of a layer's experts, and which of them a step then uses.
  mutating func learn(_ experts: [(parts: SIMD3<Double>, isUsed: Bool)]) {
    var gradient = SIMD3<Double>(repeating: 0)
    for (parts, isUsed) in experts {
      let chance = (weights * parts).sum()
      gradient += parts / (isUsed ? chance : chance - 1.000001)
    }
    gradient *= ExpertOdds.rate / Double(max(experts.count, 1))
    for index in 0..<3 { weights[index] *= exp(gradient[index]) }
    weights /= weights.sum()
  }
}
