internal import EPIR
internal import EPPlacement
internal import EPPlan
internal import Glibc

extension StepEstimator {
  /// The spread of whole steps that no kernel's table shows: engines fuse, schedule and wait
  /// differently. Twice the median error of the parts of published layers. It widens the interval
  /// of a step and leaves its value, the schedule's, alone.
  public static let engineSpread = 1.15
  /// The spread of a step none of whose kernels was measured on its hardware. Kernels priced by the same
  /// shares of peaks err together, which a sum of independent errors does not show. It is the least with
  /// which intervals cover 85 % of each source's cases that is left out (docs/validation.md).
  public static let unmeasuredSpread = 1.25

  /// What the pool delivers with one choice of overlap.
  ///
  /// `acceptance` is the chance that a drafted token is right, for each depth of `drafts`: given
  /// all before it.
  public func poolEstimate(
    overlap: OverlapChoice = .auto, drafts: Int = 0, acceptance: Double = 0.85,
    multiprocessors: [Int] = StepEstimator.exchangeMultiprocessors, dollarsPerHour: Double? = nil
  ) -> PoolEstimate {
    poolEstimate(
      of: overlapPlan(overlap, multiprocessors: multiprocessors), drafts: drafts,
      acceptance: acceptance, dollarsPerHour: dollarsPerHour)
  }

  /// What the pool delivers with one way to run a step.
  public func poolEstimate(
    of plan: OverlapPlan, drafts: Int = 0, acceptance: Double = 0.85, dollarsPerHour: Double? = nil
  ) -> PoolEstimate {
    let isPrefill = step.isPrefill
    var gained = 1.0
    var chance = 1.0
    for _ in 0..<max(drafts, 0) {
      chance *= acceptance
      gained += chance
    }
    let delivered = isPrefill ? step.tokens : step.sequences * gained
    let group = Double(pool.mesh.tp * pool.mesh.pp)
    let (step, operations) = figure(of: plan)
    return PoolEstimate(
      role: pool.role, overlap: plan.choice, multiprocessors: plan.multiprocessors, step: step,
      exposedCommunication: plan.exposed, tokensPerDevice: delivered / group,
      tokensPerSequence: isPrefill ? 0 : gained,
      stepsOfPrompt: isPrefill
        ? Int((self.step.context / max(self.step.tokens, 1)).rounded(.up)) : 0,
      balancedness: balancedness, memory: pool.memory.max { $0.total < $1.total } ?? MemoryTable(),
      operations: operations, dollarsPerHour: dollarsPerHour)
  }

  /// The price of a way to run a step with an interval and provenance, and its kernels. The interval
  /// is as wide, for its value, as that of the kernels of the slowest stage's busier stream.
  private func figure(of plan: OverlapPlan) -> (step: Figure, operations: StepEstimate) {
    var contention = Contention()
    if let share = plan.multiprocessors { contention.exchangeMultiprocessors = share }
    var estimator = self
    estimator.microBatches = plan.microBatches * pool.lots
    var operations = estimator.estimate()
    if plan.overlaps && plan.microBatches > 1 {
      operations.stages = operations.stages.map { calls in
        calls.map { $0.contended(contention, on: model.hardware) }
      }
    }
    let stages = operations.stages.map { calls in
      Figure.sum(
        calls.map { (plan.overlaps ? $0.overlapped : $0.serial).scaled(by: Double($0.calls)) })
    }
    let kernels = Figure.maximum(stages)
    let step = kernels.scaled(by: plan.step / max(kernels.value, 1e-30))
    let unmeasured = pow(Self.unmeasuredSpread, operations.unmeasuredShare)
    return (step.widened(by: Self.engineSpread).widened(by: unmeasured), operations)
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
