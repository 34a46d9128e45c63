public import EPCost
public import EPIR
public import EPPlan

/// A plan on a cluster that is not there: every pool simulated without payload.
public final class ClusterSimulation {
  /// The plan.
  public let plan: Plan
  /// The pools, in the plan's order.
  public let pools: [PoolSimulation]
  /// What the devices of each pool hold.
  public let memory: [SimulatedMemory]
  /// What was asked for.
  public let options: SimulationOptions

  /// Makes all pools ready and allocates what their devices hold.
  ///
  /// - Parameters:
  ///   - model: what kernels take on the plan's devices.
  ///   - capacity: bytes of a device; the plan's own unless set.
  /// - Throws: `simulated-oom` where a device has too little memory.
  public init(
    _ plan: Plan, model: CostModel, options: SimulationOptions, capacity: Int? = nil
  ) throws(Diagnostics) {
    self.plan = plan
    self.options = options
    var memory: [SimulatedMemory] = []
    for pool in plan.pools {
      memory.append(
        try SimulatedMemory(pool, plan: plan, capacity: capacity ?? plan.cluster.memoryBytes))
    }
    self.memory = memory
    var pools: [PoolSimulation] = []
    for pool in plan.pools {
      pools.append(
        try PoolSimulation(
          StepEstimator(
            pool, precision: plan.model.precision, model: model,
            devicesPerNode: plan.cluster.devicesPerNode), options: options))
    }
    self.pools = pools
  }

  /// How far a run is.
  public struct Progress: Sendable {
    /// The pool that is being simulated.
    public var pool: Int
    /// Steps of it that are done.
    public var steps: Int
    /// Steps asked for.
    public var of: Int
    /// Simulated seconds of it.
    public var seconds: Double
    /// The rank with the most rows for its experts in the layer that was least balanced.
    public var slowestRank: Int
    /// Tokens a second of the latest step, over all data groups.
    public var tokensPerSecond: Double
  }

  /// Runs all steps of all pools.
  public func run(progress: (Progress) -> Void = { _ in }) {
    for (number, pool) in pools.enumerated() {
      for step in 0..<options.steps {
        pool.step()
        let last = pool.outcome.steps.last?.seconds ?? 0
        let tokens = Double(pool.pool.load.tokens * pool.pool.mesh.dp)
        progress(
          Progress(
            pool: number, steps: step + 1, of: options.steps, seconds: pool.seconds,
            slowestRank: pool.outcome.fullestRank,
            tokensPerSecond: last > 0 ? tokens / last : 0))
      }
    }
  }
}
