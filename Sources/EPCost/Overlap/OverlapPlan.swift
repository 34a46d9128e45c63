internal import EPIR
internal import EPModel
public import EPPlan
public import EPSchedule

/// A way to run a step: into how many micro-batches it is cut, and when the kernels of its repeated
/// layers run.
public struct OverlapPlan: Sendable {
  /// Micro-batches of a step.
  public var microBatches: Int
  /// Whether exchanges run beside compute at all.
  public var overlaps: Bool
  /// Multiprocessors that normal exchanges take; nil where exchanges take none.
  public var multiprocessors: Int?
  /// The schedules, by function; of those that are called for several layers and exchange something.
  public var schedules: [Int: LayerSchedule]
  /// Seconds of the slowest stage's step.
  public var step: Double
  /// Seconds of it in which nothing is computed.
  public var exposed: Double
  /// Seconds of it that the compute stream is busy.
  public var computing: Double
  /// Tokens of a micro-batch.
  public var tokens: Double

  /// The share of the step in which communication shows.
  public var exposedShare: Double { step > 0 ? exposed / step : 0 }
}

extension StepEstimator {
  /// The step with exchanges and compute one after the other, in one batch.
  public func serialPlan() -> OverlapPlan {
    plan(microBatches: 1, overlaps: false, Contention(), LoopSolver(), schedules: false)
  }

  /// The step in so many micro-batches, repeated layers scheduled.
  public func overlapPlan(
    microBatches: Int, contention: Contention = Contention(), solver: LoopSolver = LoopSolver()
  ) -> OverlapPlan {
    plan(microBatches: microBatches, overlaps: true, contention, solver, schedules: true)
  }

  private func plan(
    microBatches: Int, overlaps: Bool, _ contention: Contention, _ base: LoopSolver, schedules: Bool
  ) -> OverlapPlan {
    var estimator = self
    // A pipeline is kept full by as many lots of micro-batches as it has stages.
    let lots = max(pool.mesh.pp, 1)
    estimator.microBatches = microBatches * lots
    var plan = OverlapPlan(
      microBatches: microBatches, overlaps: overlaps, schedules: [:], step: 0, exposed: 0,
      computing: 0, tokens: step.tokens / Double(microBatches * lots))
    var solver = base
    solver.ordersAlike = true
    for stage in pool.stages.indices {
      var seconds = 0.0
      var computing = 0.0
      var calls: [Int: [FunctionEstimate]] = [:]
      var order: [Int] = []
      for call in pool.calls(ofStage: stage) {
        if calls[call.function] == nil { order.append(call.function) }
        calls[call.function, default: []] += estimator.estimate(call: call, stage: stage)
      }
      for function in order {
        let own = calls[function] ?? []
        let layers = own.reduce(0) { $0 + max($1.layers.count, 1) }
        if schedules, layers > 1,
          let loop = estimator.schedule(
            function, own, microBatches, contention, solver, into: &plan)
        {
          seconds += loop.seconds
          computing += loop.computing
          continue
        }
        for call in own {
          let times = Double(max(call.layers.count, 1) * microBatches)
          seconds += call.serial.value * times
          computing +=
            call.operations.reduce(0) { $1.stream == .compute ? $0 + $1.time.value : $0 } * times
        }
      }
      // Every stage works on all lots; the first of them passes the other stages.
      seconds *= Double(lots + lots - 1)
      computing *= Double(lots)
      if seconds > plan.step {
        plan.step = seconds
        plan.computing = computing
      }
    }
    plan.exposed = max(0, plan.step - plan.computing)
    return plan
  }

  /// Schedules the layers of a function and returns their seconds, or nil where they exchange
  /// nothing. Layers whose experts are loaded differently run by the schedule of a middling one and
  /// take as much longer or shorter as their kernels do.
  private func schedule(
    _ function: Int, _ estimates: [FunctionEstimate], _ microBatches: Int,
    _ contention: Contention, _ solver: LoopSolver, into plan: inout OverlapPlan
  ) -> (seconds: Double, computing: Double)? {
    let sorted = estimates.indices.sorted {
      (estimates[$0].serial.value, $0) < (estimates[$1].serial.value, $1)
    }
    let middle = estimates[sorted[sorted.count / 2]]
    let loop = LayerLoop(
      pool.functions[function], estimate: middle, microBatches: microBatches,
      contention: contention, hardware: model.hardware)
    if !loop.communicates { return nil }
    let record: LayerSchedule
    if let known = plan.schedules[function] {
      record = known
    } else {
      guard let found = solver.solve(loop.body) else { return nil }
      var made = loop.record(found)
      if estimates.contains(where: { $0.hasNormalExchange }) {
        made.multiprocessors = contention.exchangeMultiprocessors
        plan.multiprocessors = contention.exchangeMultiprocessors
      }
      plan.schedules[function] = made
      record = made
    }
    var layers = 0.0
    for estimate in estimates {
      layers +=
        Double(max(estimate.layers.count, 1)) * estimate.serial.value
        / max(middle.serial.value, 1e-12)
    }
    let nanoseconds = Double(record.period) * layers + Double(max(0, record.span - record.period))
    return (nanoseconds * 1e-9, Double(record.busy(.compute)) * layers * 1e-9)
  }
}

extension FunctionEstimate {
  /// Whether it exchanges rows with kernels that take multiprocessors.
  var hasNormalExchange: Bool {
    operations.contains {
      if case .exchange(let exchange) = $0.kernel { return !exchange.isLowLatency }
      return false
    }
  }
}
