/// How often a layer uses what the layer before says it will, for each place in the router's choice, and
/// apart for experts that are in memory, which are those used much, and for others.
struct Foresight: Sendable {
  /// The chance from which on a guess is read: docs/streaming.md has what others made of it.
  static let least = 2.0 / 3

  /// Places that are told apart; those beyond count as the last.
  private static let places = 16

  /// What an expert was foreseen as.
  struct Kind: Hashable, Sendable {
    fileprivate var index: Int

    /// - Parameter place: where the router has it, 0 for its first choice.
    init(place: Int, isInMemory: Bool) { index = 2 * min(place, places - 1) + (isInMemory ? 1 : 0) }
  }

  private var counts = Array(repeating: (right: 1.0, all: 2.0), count: 2 * places)

  /// Notes whether what was foreseen came.
  mutating func note(_ kind: Kind, isRight: Bool) {
    counts[kind.index].right += isRight ? 1 : 0
    counts[kind.index].all += 1
  }

  /// The chance that what is foreseen comes.
  func chance(_ kind: Kind) -> Double { counts[kind.index].right / counts[kind.index].all }
}
