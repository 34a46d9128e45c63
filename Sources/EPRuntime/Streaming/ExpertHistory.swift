internal import Glibc

/// How much an expert has been used, recent steps counting most.
///
/// Every step that uses an expert adds 1, and what was added counts half after `halfLife` steps. So
/// experts that many tokens want stay although one token does not want them, which forgetting the
/// least recently used would not do: layers are used in turn, and the next layer's experts are always
/// among those used longest ago. `ExpertHistoryTests` compares the two.
struct ExpertHistory: Sendable {
  /// Steps after which a use counts half.
  static let halfLife = 256.0

  private var value = 0.0
  private var step = 0

  /// Notes a use in a step; steps do not go back.
  mutating func use(at step: Int) {
    value = score(at: step) + 1
    self.step = step
  }

  /// What the uses up to a step are worth.
  func score(at step: Int) -> Double {
    value == 0 ? 0 : value * exp2(Double(self.step - step) / ExpertHistory.halfLife)
  }
}
