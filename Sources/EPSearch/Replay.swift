internal import EPCost
public import EPIR
internal import EPPlan

/// Runs requests through a deployment, step by step: continuous batching, chunks of prompts, data
/// groups that wait for the fullest one.
public struct Replay: Sendable {
  /// What is to be deployed.
  public var problem: SearchProblem
  /// The deployment.
  public var deployment: Deployment

  /// Makes a replay.
  public init(_ problem: SearchProblem, _ deployment: Deployment) {
    self.problem = problem
    self.deployment = deployment
  }

  /// Replays a load, `count` requests of it unless it is a trace.
  public func run(_ load: ReplayLoad, count: Int) throws(Diagnostics) -> ReplayReport {
    if case .trace = load {} else { try ReplayLoad.check(count: count) }
    let requests = load.requests(
      count: count, promptLength: problem.promptLength,
      tokensRead: Int(problem.tokensRead.rounded()), outputLength: problem.outputLength)
    let evaluator = PoolEvaluator(try SearchTables(problem))
    guard let steps = ReplaySteps(deployment, evaluator) else {
      throw Diagnostics("replay", "the deployment's steps cannot be worked out")
    }
    let pools = ReplayPools(
      prefill: deployment.prefill.map { prefill in
        ReplayPools.Instances(
          instances: deployment.prefillInstances, groups: prefill.shape.mesh.dp)
      },
      decode: ReplayPools.Instances(
        instances: deployment.decodeInstances, groups: deployment.decode.shape.mesh.dp),
      promptTokens: (deployment.prefill ?? deployment.decode).promptTokens,
      sequences: deployment.decode.sequences,
      capacity: deployment.decode.sequences * problem.decodeContext,
      tokensPerStep: evaluator.gained(deployment.decode.shape),
      transferSeconds: deployment.transferSeconds)
    return pools.replay(
      requests, steps, devices: deployment.devices, timeToFirstToken: problem.timeToFirstToken,
      timePerToken: problem.timePerToken)
  }
}

/// What the steps of pools take that requests are replayed through.
public protocol ReplayStepTimes {
  /// Seconds of a step that reads so many tokens of prompts in the fullest data group, with so many to
  /// attend to.
  func prefillSeconds(tokens: Double, context: Double) -> Double
  /// Seconds of a step that makes tokens for so many sequences of the fullest data group.
  func decodeSeconds(sequences: Double, context: Double) -> Double
  /// The same in a pool that reads prompts beside them.
  func unifiedSeconds(sequences: Double, promptTokens: Double) -> Double
}

/// Pools that requests are replayed through, whatever says what their steps take.
public struct ReplayPools: Hashable, Sendable {
  /// Ranks that step together, so many times.
  public struct Instances: Hashable, Sendable {
    /// How often the pool is there.
    public var instances: Int
    /// Data groups of each.
    public var groups: Int

    /// Makes instances.
    public init(instances: Int, groups: Int) {
      self.instances = instances
      self.groups = groups
    }
  }

  /// The pool that reads prompts; nil where the other one does.
  public var prefill: Instances?
  /// The pool that makes tokens.
  public var decode: Instances
  /// Tokens of prompts that a step reads in a data group.
  public var promptTokens: Int
  /// Sequences of a data group that makes tokens.
  public var sequences: Int
  /// Tokens that those hold together.
  public var capacity: Int
  /// Tokens that a sequence gains in a step, accepted drafts among them.
  public var tokensPerStep: Double
  /// Seconds that a prompt's cache takes to the decode pool.
  public var transferSeconds: Double

  /// Makes pools.
  public init(
    prefill: Instances?, decode: Instances, promptTokens: Int, sequences: Int, capacity: Int,
    tokensPerStep: Double, transferSeconds: Double
  ) {
    self.prefill = prefill
    self.decode = decode
    self.promptTokens = promptTokens
    self.sequences = sequences
    self.capacity = capacity
    self.tokensPerStep = tokensPerStep
    self.transferSeconds = transferSeconds
  }

  /// Replays requests, by their arrival: continuous batching, chunks of prompts, data groups that wait
  /// for the fullest one.
  ///
  /// - Parameters:
  ///   - devices: what throughput is shared out to.
  ///   - timeToFirstToken: seconds that a good request waits at most.
  ///   - timePerToken: seconds that its further tokens take at most.
  public func replay(
    _ requests: [ReplayRequest], _ steps: any ReplayStepTimes, devices: Int,
    timeToFirstToken: Double = .infinity, timePerToken: Double = .infinity
  ) -> ReplayReport {
    var simulation = ReplaySimulation(requests, self, steps)
    simulation.run()
    return ReplayReport(
      simulation.records, requests, devices: devices,
      limits: (timeToFirstToken, timePerToken))
  }
}

/// Times of the steps of a deployment's pools.
struct ReplaySteps: ReplayStepTimes {
  /// By tokens of the fullest group and tokens attended to.
  private var prefill: StepTable?
  /// By sequences of the fullest group, and tokens attended to or, in a unified pool, tokens of
  /// prompts.
  private var decode: StepTable

  init?(_ deployment: Deployment, _ evaluator: PoolEvaluator) {
    let problem = evaluator.problem
    let point = deployment.decode
    let context = Double(problem.decodeContext)
    func octaves(to most: Int) -> [Double] {
      var sizes = [1.0]
      while sizes[sizes.count - 1] * 2 < Double(most) { sizes.append(sizes[sizes.count - 1] * 2) }
      return most > 1 ? sizes + [Double(most)] : sizes
    }
    let batches = octaves(to: point.sequences)
    let isUnified = point.shape.role == .unified
    let others =
      isUnified
      ? [0] + octaves(to: point.promptTokens).filter { $0 >= 16 }
      : [context / 4, context, 4 * context]
    let read = problem.tokensRead
    guard
      let decode = StepTable(
        batches, others,
        seconds: { sequences, other in
          let step = StepShape(
            sequences: sequences, drafts: point.shape.drafts,
            context: isUnified ? context : other, promptTokens: isUnified ? other : 0,
            length: Double(problem.promptLength), read: read)
          return evaluator.seconds(point.shape, step)?.seconds
        })
    else { return nil }
    self.decode = decode
    guard let prefill = deployment.prefill else { return }
    let length = Double(problem.promptLength)
    self.prefill = StepTable(
      octaves(to: prefill.promptTokens).filter { $0 >= 16 }, [length / 4, length, 4 * length],
      seconds: { tokens, context in
        let step = StepShape(
          isPrefill: true, sequences: max(tokens / context, 1), tokens: tokens,
          context: max(context, min(tokens, context)))
        return evaluator.seconds(prefill.shape, step)?.seconds
      })
    if self.prefill == nil { return nil }
  }

  func prefillSeconds(tokens: Double, context: Double) -> Double {
    prefill?(tokens, context) ?? 0
  }

  func decodeSeconds(sequences: Double, context: Double) -> Double { decode(sequences, context) }

  func unifiedSeconds(sequences: Double, promptTokens: Double) -> Double {
    decode(max(sequences, 1), promptTokens)
  }
}
