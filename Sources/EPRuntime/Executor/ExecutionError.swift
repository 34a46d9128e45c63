public import EPBackend
internal import EPModel
internal import EPPlan

/// Why a plan could not be run.
public enum ExecutionError: Error, Hashable, Sendable {
  /// The device or the transport gave up.
  case backend(BackendError)
  /// More rows were routed to a rank than the plan has room for.
  case routedCapacity(rank: Int, layer: Int, rows: Int, capacity: Int)
  /// A step has more tokens than the plan has room for.
  case stepTokens(tokens: Int, most: Int)
  /// A step is to make more logits than the plan has room for.
  case stepSamples(samples: Int, most: Int)
  /// Ranks wait for each other for ever.
  case deadlock(ranks: [Int])
  /// A token that the vocabulary does not have.
  case token(Int, prompt: Int, vocabulary: Int)
  /// A prompt without tokens.
  case emptyPrompt(Int)
  /// A request that the plan cannot serve.
  case request(String)
  /// Logits that are not numbers.
  case notFinite(prompt: Int, position: Int)
  /// Weights that cannot be loaded.
  case weights(WeightError)
  /// The memory given is too little.
  case memory(MemoryNeeds, given: Int)
}

extension ExecutionError: CustomStringConvertible {
  /// One sentence: the rule with the numbers, and the fix.
  public var description: String {
    switch self {
    case .backend(let error): return error.description
    case .routedCapacity(let rank, let layer, let rows, let capacity):
      let factor = Double((rows * 20 + capacity - 1) / max(capacity, 1) + 1) / 10
      return "rank \(rank) is sent \(rows) rows for its experts in layer \(layer) and the plan has "
        + "room for \(capacity); compile with '--capacity-factor \(factor)' or fewer tokens a step"
    case .stepTokens(let tokens, let most):
      return "a step of \(tokens) tokens for a data group, and the plan has room for \(most); "
        + "compile with a larger '--tokens-per-gpu' or '--batch'"
    case .stepSamples(let samples, let most):
      return
        "logits of \(samples) tokens of a step, and the plan has room for \(most); compile with "
        + "'--samples \(samples)'"
    case .deadlock(let ranks):
      return "ranks \(ranks.prefix(8).map(String.init).joined(separator: ", ")) wait for ever"
    case .token(let token, let prompt, let vocabulary):
      return "token \(token) of prompt \(prompt) is not in the vocabulary of \(vocabulary)"
    case .emptyPrompt(let prompt): return "prompt \(prompt) has no tokens"
    case .request(let problem): return problem
    case .notFinite(let prompt, let position):
      return "the logits of prompt \(prompt) at position \(position) are not finite"
    case .weights(let error): return error.description
    case .memory(let needs, let given):
      func size(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
      return
        "\(size(given)) of memory is too little: weights that stay take \(size(needs.weights)), "
        + "caches \(size(needs.caches)), values \(size(needs.values)), reads "
        + "\(size(needs.staging)), the experts of one token in one layer \(size(needs.experts)), the "
        + "program \(size(needs.program)); give '--memory \(size(needs.least))' at least"
    }
  }
}
