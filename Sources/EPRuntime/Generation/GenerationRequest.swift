/// What to generate.
public struct GenerationRequest: Sendable {
  /// What else to keep than tokens.
  public struct Kept: OptionSet, Hashable, Sendable {
    /// The set as bits.
    public let rawValue: Int
    /// Makes a set.
    public init(rawValue: Int) { self.rawValue = rawValue }
    /// Logits of every position.
    public static let logits = Kept(rawValue: 1)
    /// Experts and weights of every token and layer.
    public static let routing = Kept(rawValue: 2)
    /// Hidden states of prompts, after every layer and after the final norm.
    public static let hidden = Kept(rawValue: 4)
    /// Logits of the first MTP depth at every position, and the tokens drafted.
    public static let drafts = Kept(rawValue: 8)
  }

  /// The prompts, each a list of tokens.
  public var prompts: [[Int32]]
  /// The modality of each token of each prompt; text where empty.
  public var modalities: [[Int32]]
  /// Tokens to make for each prompt.
  public var count: Int
  /// How they are chosen.
  public var sampling: Sampling
  /// Tokens to draft before each step by the model's MTP depths; 0 for none.
  public var speculate: Int
  /// The most tokens of one prompt in one step; as many as the plan has room for unless set.
  public var chunk: Int?
  /// Tokens after which a sequence ends.
  public var stops: Set<Int32>
  /// What else to keep.
  public var kept: Kept
  /// The step before which each prompt arrives, from 0; at once where empty.
  public var arrivals: [Int]
  /// What a run that broke off had made of each prompt, to go on from; empty to begin.
  ///
  /// Prompts and the tokens made are read again, since the caches are gone, and what follows is what
  /// would have followed.
  public var made: [PromptResult]
  /// Steps that the run before had begun.
  public var stepsBefore: Int

  /// Makes a request.
  public init(
    prompts: [[Int32]], count: Int, sampling: Sampling = .greedy, speculate: Int = 0,
    kept: Kept = []
  ) {
    self.prompts = prompts
    self.count = count
    self.sampling = sampling
    self.speculate = speculate
    self.kept = kept
    modalities = []
    stops = []
    arrivals = []
    made = []
    stepsBefore = 0
  }

  /// Whether a prompt's tokens are all that is asked for.
  func ends(_ tokens: [Int32]) -> Bool {
    tokens.count >= count || tokens.last.map { stops.contains($0) } ?? false
  }
}

/// What came of one prompt.
public struct PromptResult: Sendable {
  /// Experts and weights of consecutive tokens, `[tokens, topK]` each, by ascending expert.
  public struct Routes: Hashable, Sendable {
    /// Choices of a token.
    public var topK: Int
    /// The experts, -1 for none.
    public var experts: [Int32]
    /// Their weights, as they multiply what experts make (or get).
    public var weights: [Float]
  }

  /// The prompt.
  public var prompt: [Int32]
  /// The tokens made.
  public var tokens: [Int32] = []
  /// Logits of the prompt's positions, `[tokens, vocabulary]`.
  public var prefillLogits: [Float] = []
  /// Logits that each token made was chosen from.
  public var decodeLogits: [Float] = []
  /// Routing of the prompt's tokens, by layer.
  public var routes: [Int: Routes] = [:]
  /// Routing of the tokens made but the last, which was not run through the model.
  public var decodeRoutes: [Int: Routes] = [:]
  /// Hidden states of the prompt's tokens after each layer.
  public var hidden: [Int: [Float]] = [:]
  /// Hidden states of the prompt's tokens after the final norm.
  public var finalNorm: [Float] = []
  /// Logits of the first MTP depth: row `i` follows from token `i + 1` and predicts token `i + 2`.
  public var draftLogits: [Float] = []
  /// The tokens drafted after each step.
  public var drafted: [[Int32]] = []

  /// Nothing made yet.
  public init(prompt: [Int32]) { self.prompt = prompt }
}

/// What a run did.
public struct RunStatistics: Sendable {
  /// Steps, of the main model and of MTP depths.
  public var steps = 0
  /// Tokens of prompts.
  public var promptTokens = 0
  /// Tokens made.
  public var tokens = 0
  /// Tokens drafted.
  public var drafted = 0
  /// Of those, how many were what the model itself would have made.
  public var accepted = 0
  /// Seconds of steps in which prompts were read.
  public var prefillSeconds = 0.0
  /// Seconds of steps in which tokens were made and no prompts read.
  public var decodeSeconds = 0.0
  /// Bytes of caches handed from the prefill pool to the decode pool.
  public var handoverBytes = 0
  /// Rows and bytes of dispatch and combine, by pool and layer.
  public var traffic: [[Int: Traffic]] = []
  /// How even the rows of batches were over expert ranks, by pool and layer.
  public var balance: [[Int: RoutedBalance]] = []
  /// Bytes of weights held, without routed experts that are streamed.
  public var weightBytes = 0
  /// Seconds from opening the weights to the first token.
  public var firstTokenSeconds = 0.0
  /// What the request takes of memory.
  public var memory = MemoryNeeds()
  /// What streaming experts took, where they are streamed.
  public var streaming: StreamStatistics?

  /// Nothing done yet.
  public init() {}

  /// The share of drafted tokens that were accepted; nil without drafts.
  public var acceptanceRate: Double? {
    drafted == 0 ? nil : Double(accepted) / Double(drafted)
  }

  /// Tokens made in a second of decoding, over all sequences.
  public var tokensPerSecond: Double { decodeSeconds > 0 ? Double(tokens) / decodeSeconds : 0 }
}

/// What came of a request.
public struct GenerationResult: Sendable {
  /// One result a prompt, in order.
  public var prompts: [PromptResult]
  /// What the run did.
  public var statistics: RunStatistics
  /// Tokens in the vocabulary.
  public var vocabulary: Int
  /// The hidden size.
  public var hidden: Int
}
