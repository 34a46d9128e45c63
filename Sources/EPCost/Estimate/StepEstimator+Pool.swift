internal import EPIR
internal import EPPlacement
internal import EPPlan

extension StepEstimator {
  /// What elapses above the busier stream when two micro-batches overlap: bubbles at the joints.
  /// DeepSeek's two published layers take 1.03 and 1.06 times theirs.
  public static let bubbles = 1.05

  /// The spread of whole steps that no kernel's table shows: engines fuse, schedule and wait
  /// differently. Twice the median error of the parts of published layers.
  public static let engineSpread = 1.15

  /// What the pool delivers with one choice of overlap, or with the faster one.
  ///
  /// `acceptance` is the chance that a drafted token is right, for each depth of `drafts`: given
  /// all before it.
  public func poolEstimate(
    overlap: OverlapChoice?, drafts: Int = 0, acceptance: Double = 0.85,
    contention: Contention = Contention(), dollarsPerHour: Double? = nil
  ) -> PoolEstimate {
    let choices = overlap.map { [$0] } ?? OverlapChoice.allCases
    let candidates = choices.map { choice in
      estimate(choice, contention: contention)
    }
    let fastest = candidates.indices.min {
      candidates[$0].step.value < candidates[$1].step.value
    }
    let best = candidates[fastest ?? 0]
    let isPrefill = step.isPrefill
    var gained = 1.0
    var chance = 1.0
    for _ in 0..<max(drafts, 0) {
      chance *= acceptance
      gained += chance
    }
    let delivered = isPrefill ? step.tokens : step.sequences * gained
    let group = Double(pool.mesh.tp * pool.mesh.pp)
    let memory = pool.memory.max { $0.total < $1.total } ?? MemoryTable()
    return PoolEstimate(
      role: pool.role, overlap: choices[fastest ?? 0], step: best.step,
      exposedCommunication: best.exposed, tokensPerDevice: delivered / group,
      tokensPerSequence: isPrefill ? 0 : gained,
      stepsOfPrompt: isPrefill ? Int((step.context / max(step.tokens, 1)).rounded(.up)) : 0,
      balancedness: balancedness, memory: memory, operations: best.operations,
      dollarsPerHour: dollarsPerHour)
  }

  /// A step with one choice of overlap: its seconds, the communication that shows, the operations.
  private func estimate(
    _ overlap: OverlapChoice, contention: Contention
  ) -> (step: Figure, exposed: Double, operations: StepEstimate) {
    var estimator = self
    let stages = max(pool.mesh.pp, 1)
    // A pipeline is kept full by as many micro-batches as it has stages.
    estimator.microBatches = overlap == .twoBatches ? 2 * stages : stages
    var operations = estimator.estimate()
    if overlap == .twoBatches {
      operations.stages = operations.stages.map { calls in
        calls.map { $0.contended(contention, on: model.hardware) }
      }
    }
    var elapsed: [Figure] = []
    var exposed = 0.0
    for calls in operations.stages {
      var parts: [Figure] = []
      for call in calls {
        let computing = Figure.sum(call.operations.filter { $0.stream == .compute }.map(\.time))
        let one = overlap == .none ? call.serial : call.overlapped
        // Only layers with exchanges have bubbles: nothing waits in the others.
        let hides = overlap == .twoBatches && call.operations.contains { $0.part == .dispatch }
        let time = one.scaled(by: Double(call.calls) * (hides ? Self.bubbles : 1))
        parts.append(time)
        exposed += max(0, time.value - computing.value * Double(call.calls))
      }
      elapsed.append(Figure.sum(parts))
    }
    // Each stage's figure holds all its micro-batches; the first of them passes the other stages.
    let slowest = Figure.maximum(elapsed)
    let fill = slowest.scaled(
      by: Double(stages - 1) / Double(max(estimator.microBatches, 1)))
    return (Figure.sum([slowest, fill]).widened(by: Self.engineSpread), exposed, operations)
  }

  /// Mean over maximum of the tokens of expert ranks, averaged over layers.
  private var balancedness: Double {
    var sum = 0.0
    var count = 0.0
    let given = Set(loads?.layers ?? [])
    for placement in pool.placements {
      // Layers without loads of their own are all alike.
      let special = placement.layers.filter { given.contains($0) }
      if let even = placement.layers.first(where: { !given.contains($0) }) {
        let layers = Double(placement.layers.count - special.count)
        sum +=
          layers / KernelPlanner(self, function: placement.function, layer: even).imbalance
        count += layers
      }
      for layer in special {
        let planner = KernelPlanner(self, function: placement.function, layer: layer)
        sum += 1 / planner.imbalance
        count += 1
      }
    }
    return count > 0 ? sum / count : 1
  }
}
