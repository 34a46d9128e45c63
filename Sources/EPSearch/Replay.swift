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
    if case .trace = load {
    } else if count < 1 || count > ReplayLoad.mostRequests {
      throw Diagnostics(
        "flag", "'--requests \(count)'; it is between 1 and \(ReplayLoad.mostRequests)")
    }
    let requests = load.requests(problem, count: count)
    let evaluator = PoolEvaluator(try SearchTables(problem))
    guard let steps = ReplaySteps(deployment, evaluator) else {
      throw Diagnostics("replay", "the deployment's steps cannot be worked out")
    }
    var simulation = ReplaySimulation(
      requests, deployment, steps, gained: evaluator.gained(deployment.decode.shape),
      capacity: deployment.decode.sequences * problem.decodeContext)
    simulation.run()
    return ReplayReport(simulation.records, requests, deployment, problem)
  }
}

/// Times of the steps of a deployment's pools.
struct ReplaySteps {
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
