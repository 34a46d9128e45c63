import EPBackendSimGPU
import EPCost
import EPIR
import EPModel
import EPPlacement
import EPPlan
import EPSearch

/// Requests served by a plan's pools, with the time of simulated steps.
struct ServingRun {
  let plan: Plan
  let flags: SimulationFlags
  let model: CostModel
  let options: SimulationOptions
  let seed: UInt64

  /// Where requests come from, the plan's pools by what they do, and how their steps are timed.
  private struct Setup {
    var requests: [ReplayRequest]
    var pools: ReplayPools
    var steps: SimulatedSteps
  }

  /// Runs all requests.
  func run() throws(Diagnostics) -> (report: ReplayReport, shapes: Int) {
    let setup = try setup()
    let report = setup.pools.replay(
      setup.requests, setup.steps, devices: plan.pools.reduce(0) { $0 + $1.mesh.ranks })
    if let failure = setup.steps.failure { throw failure }
    return (report, setup.steps.shapes)
  }

  private func setup() throws(Diagnostics) -> Setup {
    let prefill = plan.pools.firstIndex { $0.role == .prefill }
    guard let decode = plan.pools.firstIndex(where: { $0.role != .prefill }) else {
      throw Diagnostics("requests", "the plan has no pool that makes tokens")
    }
    let requests = try requests(context: plan.pools[decode].load.context)
    let steps = SimulatedSteps(
      prefill: prefill.map { ShapedSteps(plan, pool: $0, model: model, options: options) },
      decode: ShapedSteps(plan, pool: decode, model: model, options: options), requests)
    let pool = plan.pools[decode]
    let drafts = pool.drafts.count
    // As estimates assume: a draft is right in 85 of 100 cases, given all before it.
    var (gained, chance) = (1.0, 1.0)
    for _ in 0..<drafts {
      chance *= 0.85
      gained += chance
    }
    let room = pool.load.tokens - pool.load.sequences * (1 + drafts)
    guard prefill != nil || room > 0 else {
      throw Diagnostics(
        "requests",
        "steps of \(pool.load.tokens) tokens have no room for prompts beside "
          + "\(pool.load.sequences) sequences; compile with a larger '--tokens-per-gpu'")
    }
    let pools = ReplayPools(
      prefill: prefill.map {
        ReplayPools.Instances(instances: 1, groups: plan.pools[$0].mesh.dp)
      }, decode: ReplayPools.Instances(instances: 1, groups: pool.mesh.dp),
      promptTokens: prefill.map { plan.pools[$0].load.tokens } ?? room,
      sequences: pool.load.sequences, capacity: pool.load.sequences * pool.load.context,
      tokensPerStep: gained, transferSeconds: try transfer(prefill, decode, steps))
    return Setup(requests: requests, pools: pools, steps: steps)
  }

  /// Seconds until a prompt's caches are with the decode pool, behind the step that read its end.
  private func transfer(
    _ prefill: Int?, _ decode: Int, _ steps: SimulatedSteps
  ) throws(Diagnostics) -> Double {
    guard let prefill, let handover = plan.handover else { return 0 }
    let sender = plan.pools[prefill]
    let seconds = steps.prefillSeconds(
      tokens: Double(sender.load.tokens), context: Double(sender.load.context))
    if let failure = steps.failure { throw failure }
    return model.overlap(
      of: handover, from: sender, to: plan.pools[decode], step: seconds
    ).tail
  }

  private func requests(context: Int) throws(Diagnostics) -> [ReplayRequest] {
    let text = flags.requests ?? ""
    let load = try ReplayLoad(flag: "--requests", text)
    let (input, output) = (flags.inputLength, flags.outputLength)
    for (name, value) in [
      ("request-count", flags.requestCount), ("input-length", input), ("output-length", output),
    ] where value < 1 || value > 4_000_000 {
      throw Diagnostics("flag", "'--\(name) \(value)'; it is at least 1 and at most 4000000")
    }
    return load.requests(
      count: flags.requestCount, promptLength: input, tokensRead: input, outputLength: output,
      seed: seed)
  }
}

extension ReplayLoad {
  /// Reads `poisson:RATE`, `constant:RATE` in requests a second, or a trace file.
  ///
  /// - Parameter rate: the rate where none is written; nil where it must be.
  init(flag: String, _ text: String, rate: Double? = nil) throws(Diagnostics) {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    guard ["poisson", "constant"].contains(parts.first) else {
      self = try ReplayLoad.trace(try Terminal.read(text, maxBytes: 2 << 30), named: text)
      return
    }
    guard let rate = parts.count > 1 ? Double(parts[1]) : rate, rate > 0, rate <= 1e9 else {
      throw Diagnostics("flag", "'\(flag) \(text)'; the rate is requests a second, above 0")
    }
    self = parts[0] == "poisson" ? .poisson(rate) : .constant(rate)
  }
}

/// Steps of a replay, timed by the simulator.
private final class SimulatedSteps: ReplayStepTimes {
  private let prefill: ShapedSteps?
  private let decode: ShapedSteps
  /// The mean of the requests' prompts, all tokens and those read.
  private let length: Double
  private let read: Double
  /// Why a step could not be simulated; its time is 0 then.
  private(set) var failure: Diagnostics?

  init(prefill: ShapedSteps?, decode: ShapedSteps, _ requests: [ReplayRequest]) {
    self.prefill = prefill
    self.decode = decode
    let count = Double(max(requests.count, 1))
    length = requests.reduce(0) { $0 + Double($1.promptLength) } / count
    read = requests.reduce(0) { $0 + Double($1.tokensRead) } / count
  }

  /// Shapes that were simulated.
  var shapes: Int { (prefill?.count ?? 0) + decode.count }

  func prefillSeconds(tokens: Double, context: Double) -> Double {
    let (tokens, context) = (ShapedSteps.size(atLeast: tokens), ShapedSteps.size(atLeast: context))
    return seconds(
      prefill,
      StepShape(
        isPrefill: true, sequences: max(tokens / context, 1), tokens: tokens, context: context))
  }

  func decodeSeconds(sequences: Double, context: Double) -> Double {
    let shape = StepShape(
      sequences: ShapedSteps.size(atLeast: sequences), drafts: decode.pool.drafts.count,
      context: ShapedSteps.size(atLeast: context), promptTokens: 0, length: length, read: read)
    return seconds(decode, shape)
  }

  func unifiedSeconds(sequences: Double, promptTokens: Double) -> Double {
    let tokens = promptTokens > 0 ? ShapedSteps.size(atLeast: promptTokens) : 0
    let shape = StepShape(
      sequences: ShapedSteps.size(atLeast: sequences), drafts: decode.pool.drafts.count,
      context: Double(decode.pool.load.context), promptTokens: tokens, length: length, read: read)
    return seconds(decode, shape)
  }

  private func seconds(_ steps: ShapedSteps?, _ shape: StepShape) -> Double {
    guard failure == nil, let steps else { return 0 }
    do { return try steps.seconds(of: shape) } catch {
      failure = error
      return 0
    }
  }
}
