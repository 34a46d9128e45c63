public import EPPlan

/// What a data group works on in one micro-batch.
public struct StepShape: Hashable, Sendable {
  /// Whether prompts are read, rather than tokens made.
  public var isPrefill: Bool
  /// Sequences; those that decode, where prompts are read beside them.
  public var sequences: Double
  /// Tokens, over all sequences.
  public var tokens: Double
  /// Tokens of a sequence that are attended to after the step, on average.
  public var context: Double
  /// How many of `tokens` are of prompts that are read beside sequences that decode.
  public var promptTokens: Double
  /// Tokens that those attend to, on average over a prompt's steps.
  public var promptContext: Double
  /// Prompts whose last token is in the step, on average.
  public var promptEnds: Double

  /// Makes a shape.
  public init(isPrefill: Bool, sequences: Double, tokens: Double, context: Double) {
    self.isPrefill = isPrefill
    self.sequences = sequences
    self.tokens = tokens
    self.context = context
    promptTokens = 0
    promptContext = 0
    promptEnds = isPrefill ? sequences : 0
  }

  /// The load of a pool; a prefill step reads as many prompts of the average context as it has
  /// tokens for, a unified one has `1 + drafts` tokens for each sequence and prompts in the rest.
  public init(_ load: Pool.Load, role: Pool.Role, drafts: Int = 0) {
    let context = Double(max(load.context, 1))
    let tokens = Double(load.tokens)
    let isPrefill = role == .prefill
    self.init(
      isPrefill: isPrefill,
      sequences: isPrefill ? max(tokens / context, 1) : Double(max(load.sequences, 1)),
      tokens: tokens, context: context)
    if role == .unified {
      addPrompts(
        tokens: max(0, tokens - sequences * Double(1 + drafts)), of: context, among: tokens)
    }
  }

  /// A step that reads `tokens` tokens of prompts beside `sequences` that decode.
  ///
  /// `read` of a prompt's `length` tokens are new, the rest is in the cache.
  public init(
    sequences: Double, drafts: Int, context: Double, promptTokens tokens: Double, length: Double,
    read: Double
  ) {
    let decoded = sequences * Double(1 + drafts)
    self.init(isPrefill: false, sequences: sequences, tokens: decoded + tokens, context: context)
    promptTokens = tokens
    let chunk = min(tokens, read)
    promptContext = length - (read - chunk) / 2
    promptEnds = tokens / max(read, 1)
  }

  /// A step that only reads prompts: `tokens` of them, of prompts with `length` tokens of which
  /// `read` are new. A prompt longer than the step is read in several; the context is their mean.
  public init(prompts tokens: Double, length: Double, read: Double) {
    let count = max(tokens / max(read, 1), 1)
    self.init(
      isPrefill: true, sequences: count, tokens: tokens,
      context: length - (read - min(tokens, read)) / 2)
    promptEnds = tokens / max(read, 1)
  }

  private mutating func addPrompts(tokens: Double, of length: Double, among all: Double) {
    promptTokens = tokens
    promptContext = max(length / 2, min(tokens, length))
    promptEnds = tokens / max(length, 1)
  }

  /// Sizes that vary tell shapes apart, as one word.
  public func hash(into hasher: inout Hasher) {
    var word = HashWord()
    word.mix(sequences)
    word.mix(tokens)
    word.mix(promptTokens)
    word.mix(promptContext)
    hasher.combine(word.bits)
  }

  /// New tokens of a sequence.
  public var queries: Double { (tokens - promptTokens) / max(sequences, 1e-9) }

  /// Tokens whose logits are made: those that decode, and the last ones of prompts.
  public var samples: Double {
    isPrefill ? min(tokens, promptEnds) : tokens - promptTokens + promptEnds
  }

  /// One of `count` equal micro-batches.
  public func split(into count: Int) -> StepShape { part(Double(count)) }

  /// A micro-batch so many of which would be the step.
  func part(_ count: Double) -> StepShape {
    var part = self
    part.sequences /= count
    part.tokens /= count
    part.promptTokens /= count
    part.promptEnds /= count
    return part
  }

  /// The step as attention sees it: sequences that decode, and prompts, apart.
  var attentionParts: [StepShape] {
    if promptTokens <= 0 { return [self] }
    var parts: [StepShape] = []
    if tokens - promptTokens > 0 {
      parts.append(
        StepShape(
          isPrefill: false, sequences: sequences, tokens: tokens - promptTokens, context: context))
    }
    let each = min(promptTokens, promptContext)
    parts.append(
      StepShape(
        isPrefill: true, sequences: promptTokens / max(each, 1), tokens: promptTokens,
        context: promptContext))
    return parts
  }
}
