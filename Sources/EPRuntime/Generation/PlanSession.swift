public import EPBackend
internal import EPIR
internal import EPModel
public import EPPlan

/// A plan with its weights loaded, ready to generate.
///
/// Sequences join when there is room and leave when they are done; every step a data group works on
/// the next token of those that decode and on chunks of prompts. Tokens do not depend on how
/// sequences are batched.
public final class PlanSession<D: Device> {
  /// The plan.
  public let plan: Plan
  /// The pools, in the plan's order.
  public let pools: [PoolRunner<D>]
  private let weightBytes: Int
  private let cache: ExpertCache?
  private let prefillPool: Int
  private let decodePool: Int
  private let place: ProcessPlace?

  /// Makes the ranks of all pools ready, or those of this process where there are others.
  ///
  /// The plan must have been verified. Over processes it has one pool: caches are handed over within
  /// a process alone.
  ///
  /// - Parameter memory: bytes that weights, caches and arenas may take; what experts that are
  ///   streamed may take is what the rest leaves.
  public init(
    _ plan: Plan, weights: WeightStore, device: D, place: ProcessPlace? = nil, memory: Int? = nil
  ) throws(ExecutionError) {
    self.plan = plan
    self.place = place
    if place != nil && plan.pools.count > 1 {
      throw .request(
        "the plan has \(plan.pools.count) pools, and caches are not handed over between processes; "
          + "compile with '--phase unified'")
    }
    var pools: [PoolRunner<D>] = []
    for index in plan.pools.indices {
      pools.append(
        try PoolRunner(plan, pool: index, device: device, weights: weights, place: place))
    }
    self.pools = pools
    weightBytes = weights.bytes
    cache = weights.cache
    prefillPool = plan.pools.firstIndex { $0.role != .decode } ?? 0
    decodePool = plan.pools.firstIndex { $0.role != .prefill } ?? 0
    if let memory, let cache { try Self.bound(cache, memory, weightBytes, pools) }
  }

  /// Gives streamed experts the memory that everything else leaves.
  private static func bound(
    _ cache: ExpertCache, _ memory: Int, _ weightBytes: Int, _ pools: [PoolRunner<D>]
  ) throws(ExecutionError) {
    let working = pools.reduce(0) { sum, runner in
      let load = runner.pool.load
      return runner.ranks.reduce(sum) {
        $0 + $1.workingBytes(sequences: load.sequences, tokens: load.context)
      }
    }
    let left = memory - weightBytes - working
    if left < cache.least {
      throw .request(
        "'--memory' leaves \(left) bytes for experts and the largest takes \(cache.least): "
          + "\(weightBytes) are other weights, \(working) caches and values; give at least "
          + "\(weightBytes + working + cache.least)")
    }
    cache.budget = left
  }

  /// Generates tokens for all prompts of a request.
  ///
  /// - Parameter progress: called after every step with the tokens made so far by all prompts.
  public func generate(
    _ request: GenerationRequest, progress: (Int) -> Void = { _ in }
  ) throws(ExecutionError) -> GenerationResult {
    try check(request)
    let depths = plan.pools[decodePool].drafts.count
    let used = request.kept.contains(.drafts) ? 1 : 0
    var run = GenerationRun(
      request, session: self, depths: min(depths, max(request.speculate, used)),
      prefillPool: prefillPool, decodePool: decodePool)
    while !run.isDone {
      try run.step()
      progress(run.statistics.tokens)
    }
    var result = run.finish(weightBytes: weightBytes)
    if let cache {
      result.statistics.experts = cache.statistics
      result.statistics.expertBytes = cache.peak
    }
    if let place {
      // Each process knows of its own ranks.
      do {
        let all = try place.processes.gather(TrafficTable.bytes(of: result.statistics.traffic))
        result.statistics.traffic = TrafficTable.sum(all, pools: plan.pools.count)
      } catch { throw .backend(error) }
    }
    return result
  }

  private func check(_ request: GenerationRequest) throws(ExecutionError) {
    for (index, prompt) in request.prompts.enumerated() {
      if prompt.isEmpty { throw .emptyPrompt(index) }
      for token in prompt where token < 0 || Int(token) >= plan.model.vocabulary {
        throw .token(Int(token), prompt: index, vocabulary: plan.model.vocabulary)
      }
    }
    if request.count < 0 { throw .request("'--generate \(request.count)'; it is not negative") }
    if let chunk = request.chunk, chunk < 1 {
      throw .request("a chunk of \(chunk) tokens; it has at least 1")
    }
    if !request.modalities.isEmpty,
      request.modalities.map(\.count) != request.prompts.map(\.count)
    {
      throw .request("modalities are one number for each token of each prompt")
    }
    if place != nil && !request.kept.isDisjoint(with: [.routing, .hidden]) {
      throw .request(
        "routing and hidden states are kept where all ranks are in one process; run on cpu")
    }
    let needsDrafts = request.speculate > 0 || request.kept.contains(.drafts)
    if request.speculate < 0 {
      throw .request("'--speculate \(request.speculate)'; it is not negative")
    }
    if needsDrafts && plan.pools[decodePool].drafts.isEmpty {
      throw .request(
        "drafts are asked for, but the plan runs no MTP depths of \(plan.model.name)")
    }
    for pool in plan.pools where needsDrafts {
      for draft in pool.drafts
      where pool.functions[draft.function].function.caches.contains(where: {
        !$0.kind.growsWithContext
      }) {
        throw .request("an MTP depth of \(plan.model.name) keeps a state, which has no way back")
      }
    }
  }
}
