public import EPModel

/// Which rows a value has.
public enum RowKind: Hashable, Sendable {
  /// None: it is made of weights alone.
  case none
  /// All tokens of the data group.
  case tokens
  /// The share of them that the rank keeps.
  case own
  /// The tokens whose logits are wanted.
  case sampled
  /// Those routed to the rank's experts.
  case routed

  /// The kind of rows of a type.
  public init(_ type: TensorType) {
    switch type.rows {
    case Axis.tokens?: self = .tokens
    case Axis.ownTokens?: self = .own
    case Axis.sampled?: self = .sampled
    case Axis.routed?: self = .routed
    default: self = .none
    }
  }
}

/// The new rows of one sequence in a step.
public struct SequenceSpan {
  /// Its rows among the step's tokens.
  public var rows: Range<Int>
  /// The position of the first in the sequence.
  public var firstPosition: Int
  /// What the rank keeps of the sequence.
  public var cache: SequenceCache

  /// Makes a span.
  public init(rows: Range<Int>, firstPosition: Int, cache: SequenceCache) {
    self.rows = rows
    self.firstPosition = firstPosition
    self.cache = cache
  }
}

/// What kernels of a rank need to know about the step beside their operands.
public final class StepState {
  /// Tokens of the data group.
  public private(set) var tokens = 0
  /// Those that the rank keeps.
  public private(set) var own = 0..<0
  /// The tokens whose logits are wanted, ascending.
  public private(set) var sampled: [Int] = []
  /// Rows routed to the rank's experts by the latest dispatch.
  public var routed = 0
  /// The position of every token in its sequence.
  public private(set) var positions: Storage
  /// Where the rows of each slot end among the routed rows.
  public private(set) var slotEnds: Storage
  /// The sequences of the step.
  public private(set) var spans: [SequenceSpan] = []
  /// Room for kernels to work in.
  public var scratch = Scratch()

  /// Makes the state of a rank.
  ///
  /// - Parameters:
  ///   - tokens: the most tokens of a step.
  ///   - slots: the most slots for experts that a layer has on the rank.
  public init(tokens: Int, slots: Int) {
    positions = Storage(bytes: 4 * tokens)
    slotEnds = Storage(bytes: 4 * slots)
  }

  /// Begins a step of the given sequences, of which the rank keeps the rows `own` and makes logits
  /// of the rows `sampled`.
  public func begin(_ spans: [SequenceSpan], own: Range<Int>, sampled: [Int]) {
    self.spans = spans
    self.own = own
    self.sampled = sampled
    tokens = spans.last?.rows.upperBound ?? 0
    routed = 0
    precondition(4 * tokens <= positions.memory.bytes, "a step has as many tokens as planned")
    for span in spans {
      for (offset, row) in span.rows.enumerated() {
        unsafe positions.memory.indices[row] = Int32(span.firstPosition + offset)
      }
    }
  }

  /// How many rows there are of a kind; 1 for values without rows.
  public func count(_ kind: RowKind) -> Int {
    switch kind {
    case .none: return 1
    case .tokens: return tokens
    case .own: return own.count
    case .sampled: return sampled.count
    case .routed: return routed
    }
  }

  /// The positions of the rows of a kind, which are tokens.
  public func positions(of kind: RowKind) -> Memory {
    kind == .own
      ? positions.memory.elements(from: own.lowerBound, count: own.count)
      : positions.memory.elements(from: 0, count: tokens)
  }
}
