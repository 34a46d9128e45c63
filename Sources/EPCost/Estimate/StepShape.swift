public import EPPlan

/// What a data group works on in one micro-batch.
public struct StepShape: Hashable, Sendable {
  /// Whether prompts are read, rather than tokens made.
  public var isPrefill: Bool
  /// Sequences.
  public var sequences: Double
  /// Tokens, over all sequences.
  public var tokens: Double
  /// Tokens of a sequence that are attended to after the step, on average.
  public var context: Double

  /// Makes a shape.
  public init(isPrefill: Bool, sequences: Double, tokens: Double, context: Double) {
    self.isPrefill = isPrefill
    self.sequences = sequences
    self.tokens = tokens
    self.context = context
  }

  /// The load of a pool; a prefill step reads as many prompts of the average context as it has
  /// tokens for.
  public init(_ load: Pool.Load, role: Pool.Role) {
    let context = Double(max(load.context, 1))
    let tokens = Double(load.tokens)
    isPrefill = role == .prefill
    self.tokens = tokens
    self.context = context
    sequences = isPrefill ? max(tokens / context, 1) : Double(max(load.sequences, 1))
  }

  /// New tokens of a sequence.
  public var queries: Double { tokens / max(sequences, 1e-9) }

  /// One of `count` equal micro-batches.
  public func split(into count: Int) -> StepShape {
    StepShape(
      isPrefill: isPrefill, sequences: sequences / Double(count), tokens: tokens / Double(count),
      context: context)
  }
}
