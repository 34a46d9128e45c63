public import EPCost
public import EPIR
public import EPPlan

/// A plan on a cluster that is not there: every pool simulated without payload.
public final class ClusterSimulation {
  /// The plan; after a loss without a spare, that of the survivors.
  public private(set) var plan: Plan
  /// The pools, in the plan's order.
  public private(set) var pools: [PoolSimulation]
  /// What the devices of each pool hold.
  public private(set) var memory: [SimulatedMemory]
  /// What was asked for.
  public let options: SimulationOptions
  /// What went wrong and was noticed.
  public private(set) var faults: [FaultReport] = []
  /// What a look at all devices before the first step found; nil before.
  public private(set) var health: HealthCheck?
  /// Makes a plan for the survivors when a data group of a pool is gone.
  public var replan: ((_ plan: Plan, _ pool: Int) throws(Diagnostics) -> Plan)?
  private let model: CostModel
  private let capacity: Int?
  private var spares: Int

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
    self.model = model
    self.capacity = capacity
    spares = options.spares
    memory = []
    pools = []
    for pool in plan.pools {
      memory.append(
        try SimulatedMemory(pool, plan: plan, capacity: capacity ?? plan.cluster.memoryBytes))
      pools.append(
        try PoolSimulation(
          Self.estimator(of: pool, plan, model: model), options: options))
    }
  }

  private static func estimator(of pool: Pool, _ plan: Plan, model: CostModel) -> StepEstimator {
    StepEstimator(
      pool, precision: plan.model.precision, model: model,
      devicesPerNode: plan.cluster.devicesPerNode)
  }

  /// How far a run is.
  public struct Progress {
    /// The pool that is being simulated.
    public var pool: Int
    /// Steps of it that are done.
    public var steps: Int
    /// Steps asked for.
    public var of: Int
    /// What is being simulated.
    public var simulation: PoolSimulation

    /// Tokens that the latest step read or made, a second.
    public var tokensPerSecond: Double {
      let last = simulation.outcome.steps.last?.seconds ?? 0
      return last > 0 ? Double(simulation.tokensPerStep) / last : 0
    }
  }

  /// Runs all steps of all pools.
  ///
  /// - Throws: `simulated-fault` where a rank is lost and the run may not recover, and what planning
  ///   for survivors throws.
  public func run(progress: (Progress) -> Void = { _ in }) throws(Diagnostics) {
    try checkHealth()
    for number in pools.indices {
      for step in 0..<options.steps {
        try runStep(step, ofPool: number)
        progress(
          Progress(pool: number, steps: step + 1, of: options.steps, simulation: pools[number]))
      }
    }
  }

  private func runStep(_ step: Int, ofPool number: Int) throws(Diagnostics) {
    for fault in options.faults.faults
    where fault.kind.isFatal && fault.step == step && pools[number].owns(fault.rank) {
      try lose(fault, pool: number)
    }
    let pool = pools[number]
    pool.apply(options.faults.faults, step: step)
    pool.step()
    faults += pool.slowRanks(options.faults.faults, step: step)
  }

  // MARK: Health

  /// Looks at all devices, and leaves those out that are bad.
  private func checkHealth() throws(Diagnostics) {
    var check = HealthCheck(
      ranks: plan.pools.reduce(0) { max($0, $1.firstRank + $1.mesh.ranks) },
      memoryBytes: capacity ?? plan.cluster.memoryBytes, defects: options.faults.defects,
      model: model)
    for rank in Set(check.findings.map(\.rank)).sorted() {
      let said = check.findings.filter { $0.rank == rank }.map(\.text).joined(separator: "; ")
      guard options.recovers else {
        throw Diagnostics("simulated-health", said + "; '--recover' leaves it out")
      }
      if spares > 0 {
        spares -= 1
        check.settle(rank, "a spare takes its place")
      } else if let number = pools.firstIndex(where: { $0.owns(rank) }) {
        _ = try redistributed(pool: number)
        check.settle(rank, "left out: \(pools[number].pool.mesh.ranks) devices run its pool")
      }
    }
    health = check
  }

  // MARK: Losses

  /// Breaks a step off where a rank is missed, and goes on without it.
  private func lose(_ fault: FaultSchedule.Fault, pool number: Int) throws(Diagnostics) {
    let pool = pools[number]
    let place = pool.stepLosing(fault.rank)
    // A device's error is reported at once; whoever is silent is missed when the bound is over.
    let bound = fault.kind == .deviceError ? 0 : options.faults.timeout
    var report = FaultReport(fault: fault, place: place, noticedAfter: bound, recovery: nil)
    guard options.recovers else {
      throw Diagnostics("simulated-fault", report.text + "; '--recover' goes on without it")
    }
    let recovery: FaultReport.Recovery
    if spares > 0 {
      spares -= 1
      recovery = replaced(in: pool)
    } else {
      recovery = try redistributed(pool: number)
    }
    report.recovery = recovery
    faults.append(report)
    pools[number].advance(to: pool.end + Ticks(seconds: bound + recovery.seconds))
  }

  /// A spare loads what the rank held, and its data group's sequences are read again.
  private func replaced(in pool: PoolSimulation) -> FaultReport.Recovery {
    let held = pool.pool.memory.map { $0.denseWeights + $0.expertWeights }.max() ?? 0
    let load = pool.pool.load
    return FaultReport.Recovery(
      by: "a spare", loadedBytes: held,
      loading: Double(held) / model.hardware.scaleOutBandwidth,
      recomputedTokens: load.sequences * load.context,
      recomputing: reading(load.sequences, in: pool.pool))
  }

  /// Survivors take the experts and the sequences of the lost rank's data group.
  private func redistributed(pool number: Int) throws(Diagnostics) -> FaultReport.Recovery {
    let before = pools[number]
    guard let replan, before.pool.mesh.dp > 1 else {
      throw Diagnostics(
        "simulated-fault",
        "no other data group is left to take over; '--spares 1' keeps a device ready")
    }
    let plan = try replan(self.plan, number)
    let pool = plan.pools[number]
    let load = before.pool.load
    let share = (load.sequences + pool.mesh.dp - 1) / pool.mesh.dp
    let loaded = movedBytes(from: before.pool, to: pool)
    memory[number] = try SimulatedMemory(
      pool, plan: plan, capacity: capacity ?? plan.cluster.memoryBytes)
    let after = try PoolSimulation(
      Self.estimator(of: pool, plan, model: model), options: options)
    after.resume(before)
    self.plan = plan
    pools[number] = after
    return FaultReport.Recovery(
      by: "\(pool.mesh.ranks) survivors", loadedBytes: loaded,
      loading: Double(loaded) / model.hardware.scaleOutBandwidth,
      recomputedTokens: load.sequences * load.context, recomputing: reading(share, in: pool))
  }

  /// Bytes of experts that the busiest survivor has to load: those in its slots that it did not hold.
  private func movedBytes(from old: Pool, to new: Pool) -> Int {
    let experts = new.memory.map(\.expertWeights).max() ?? 0
    let slots = new.placements.reduce(0) { $0 + $1.slotsPerRank * $1.layers.count }
    if slots == 0 { return 0 }
    var most = 0
    for rank in 0..<new.mesh.ep {
      var moved = 0
      for placement in new.placements {
        guard let layer = placement.layers.first,
          let former = old.placement(function: placement.function, layer: layer)
        else { continue }
        let own = rank < old.mesh.ep ? Set(former.experts(ofRank: rank)) : []
        moved +=
          placement.experts(ofRank: rank).filter { !own.contains($0) }.count
          * placement.layers.count
      }
      most = max(most, moved)
    }
    return Int(Double(experts) / Double(slots) * Double(most))
  }

  /// Seconds of reading so many sequences of the average length again, in each data group.
  private func reading(_ sequences: Int, in pool: Pool) -> Double {
    var estimator = Self.estimator(of: pool, plan, model: model)
    let context = Double(max(pool.load.context, 1))
    estimator.step = StepShape(
      isPrefill: true, sequences: Double(sequences), tokens: Double(sequences) * context,
      context: context)
    estimator.usesLowLatency = false
    return estimator.estimate().serial.value
  }
}
