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
  let store: WeightStore
  let processes: any ProcessGroup
  /// What a run that broke off had made, by prompt, and the steps that it had begun; see
  /// `GenerationRequest.made`.
  public private(set) var brokenOff: (made: [PromptResult], steps: Int)?
  private let prefillPool: Int
  private let decodePool: Int

  /// Makes the ranks of all pools ready, or those of this process where there are others.
  ///
  /// The plan must have been verified. Weights that a limit of memory applies to are read when the first
  /// request says what else there must be room for.
  ///
  /// - Parameter processes: those that run the plan together; this one alone unless given.
  public init(
    _ plan: Plan, weights: WeightStore, device: D,
    processes: any ProcessGroup = SingleProcess()
  ) throws(ExecutionError) {
    self.plan = plan
    self.processes = processes
    var pools: [PoolRunner<D>] = []
    for index in plan.pools.indices {
      pools.append(
        try PoolRunner(
          plan, pool: index, device: device, weights: weights, processes: processes))
    }
    self.pools = pools
    store = weights
    if weights.memory == nil {
      do { try weights.read() } catch { throw .weights(error) }
    }
    prefillPool = plan.pools.firstIndex { $0.role != .decode } ?? 0
    decodePool = plan.pools.firstIndex { $0.role != .prefill } ?? 0
  }

  /// Generates tokens for all prompts of a request.
  ///
  /// - Parameter progress: called after every step with the tokens made so far by all prompts.
  public func generate(
    _ request: GenerationRequest, progress: (Int) -> Void = { _ in }
  ) throws(ExecutionError) -> GenerationResult {
    try check(request)
    try shareMemory(request)
    let depths = plan.pools[decodePool].drafts.count
    let used = request.kept.contains(.drafts) ? 1 : 0
    var run = GenerationRun(
      request, session: self, depths: min(depths, max(request.speculate, used)),
      prefillPool: prefillPool, decodePool: decodePool)
    while !run.isDone {
      do { try run.step() } catch {
        brokenOff = (run.sequences.map(\.result), run.tick)
        throw error
      }
      progress(run.statistics.tokens)
    }
    do { run.statistics.memory = try memoryNeeds(request) } catch { throw .weights(error) }
    return try run.finish(weightBytes: store.bytes)
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
    if pools.contains(where: { $0.ranks.count < $0.pool.mesh.ranks }),
      !request.kept.isDisjoint(with: [.routing, .hidden])
    {
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
