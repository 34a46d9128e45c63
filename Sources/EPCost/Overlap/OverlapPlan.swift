internal import EPIR
internal import EPModel
public import EPPlan
public import EPSchedule

/// A way to run a step, and its price: into how many micro-batches it is cut, and when the kernels of
/// its repeated layers run. There is no other price of a step: the compiler, `epc estimate`, the
/// search and `epc validate` all ask for this one.
public struct OverlapPlan: Sendable {
  /// Micro-batches of a step.
  public var microBatches: Int
  /// Whether exchanges run beside compute at all.
  public var overlaps: Bool
  /// Multiprocessors that normal exchanges take; nil where exchanges take none.
  public var multiprocessors: Int?
  /// The schedules, by function; of those that are called for several layers and exchange something.
  public var schedules: [Int: LayerSchedule]
  /// Seconds from one step to the next.
  public var step: Double
  /// Seconds of one lot in each stage.
  public var stages: [Double] = []
  /// Seconds of it in which nothing is computed.
  public var exposed: Double
  /// Seconds of it that the compute stream is busy.
  public var computing: Double
  /// Tokens of a micro-batch.
  public var tokens: Double

  init(microBatches: Int, overlaps: Bool, tokens: Double) {
    self.microBatches = microBatches
    self.overlaps = overlaps
    self.tokens = tokens
    schedules = [:]
    (step, exposed, computing) = (0, 0, 0)
  }

  /// The share of the step in which communication shows.
  public var exposedShare: Double { step > 0 ? exposed / step : 0 }

  /// The choice that asks for it.
  public var choice: OverlapChoice { overlaps ? .microBatches(microBatches) : .none }

  /// The one to take of some in ascending order of micro-batches: the fastest, or one of fewer
  /// micro-batches that more gain less than durations are known to.
  public static func preferred(among plans: [OverlapPlan]) -> OverlapPlan? {
    preferred(plans.map(\.step)).map { plans[$0] }
  }

  /// The place of the one to take, of steps in ascending order of micro-batches.
  public static func preferred(_ steps: [Double]) -> Int? {
    guard let least = steps.min() else { return nil }
    return steps.firstIndex { $0 <= least * OverlapChoice.worthwhile }
  }
}

extension StepEstimator {
  /// Multiprocessors that normal exchanges may take, of a device's.
  public static let exchangeMultiprocessors = [24, 20, 16, 12]

  /// The step with exchanges and compute one after the other, in one batch.
  public func serialPlan() -> OverlapPlan {
    plan(microBatches: 1, overlaps: false, Contention()) { _ in .unscheduled }
  }

  /// The step in so many micro-batches, repeated layers scheduled.
  public func overlapPlan(
    microBatches: Int, contention: Contention = Contention(), solver: LoopSolver = LoopSolver()
  ) -> OverlapPlan {
    var solver = solver
    solver.ordersAlike = true
    return plan(microBatches: microBatches, overlaps: true, contention) { _ in .anew(solver) }
  }

  /// The ways to run a step that a choice leaves open, in ascending order of micro-batches; of each
  /// number the fastest over multiprocessors that exchanges may take. `auto` begins with the serial
  /// one and one batch, and tries one micro-batch more as long as that is faster than all before.
  public func overlapPlans(
    _ choice: OverlapChoice, cuts: Bool = true,
    multiprocessors: [Int] = StepEstimator.exchangeMultiprocessors
  ) -> [OverlapPlan] {
    let contentions = contentions(over: multiprocessors)
    func best(_ count: Int) -> OverlapPlan? {
      if !allows(microBatches: count) { return nil }
      return contentions.map { overlapPlan(microBatches: count, contention: $0) }
        .min { $0.step < $1.step }
    }
    switch choice {
    case .none: return [serialPlan()]
    case .microBatches(let count): return [best(count)].compactMap { $0 }
    case .auto:
      var plans = [serialPlan()]
      var least = Double.infinity
      for count in 1...(cuts ? OverlapChoice.mostMicroBatches : 1) {
        guard let plan = best(count) else { break }
        least = min(least, plans.last?.step ?? 0)
        plans.append(plan)
        if count > 1 && plan.step >= least { break }
      }
      return plans
    }
  }

  /// The way to run a step that a choice comes to.
  public func overlapPlan(
    _ choice: OverlapChoice, multiprocessors: [Int] = StepEstimator.exchangeMultiprocessors
  ) -> OverlapPlan {
    let plans = overlapPlans(choice, multiprocessors: multiprocessors)
    return OverlapPlan.preferred(among: plans) ?? serialPlan()
  }

  /// The step as the pool's plan has it: in its micro-batches, layers by their recorded schedules.
  public func recordedPlan() -> OverlapPlan {
    let schedules = pool.functions.compactMap(\.schedule)
    var estimator = self
    estimator.microBatches = 1
    if schedules.isEmpty && pool.microBatches == 1 { return serialPlan() }
    var contention = Contention()
    let share = schedules.lazy.compactMap(\.multiprocessors).first
    if let share { contention.exchangeMultiprocessors = share }
    return plan(microBatches: pool.microBatches, overlaps: true, contention) { function in
      pool.functions[function].schedule.map { .recorded($0) } ?? .unscheduled
    }
  }

  /// Whether a step has a token for each of so many micro-batches; one batch is always possible.
  public func allows(microBatches count: Int) -> Bool {
    count == 1 || Double(count * pool.lots) <= step.tokens
  }

  /// What exchanges may do to compute: a choice for each number of multiprocessors, or the usual one
  /// where they take none.
  public func contentions(over multiprocessors: [Int]) -> [Contention] {
    usesNormalExchanges
      ? multiprocessors.map { Contention(exchangeMultiprocessors: $0) } : [Contention()]
  }

  /// Whether rows are exchanged by kernels that take multiprocessors.
  private var usesNormalExchanges: Bool {
    pool.mesh.ep > 1 && !gathersTokens
      && pool.functions.contains { function in
        function.function.operations.contains { operation in
          guard operation.kind == .dispatch else { return false }
          let algorithm = operation.attributes.text("algorithm")
          return algorithm != "local" && !usesLowLatency(KernelOutline.Algorithm(algorithm))
        }
      }
  }

  /// Whether an exchange of an algorithm takes low-latency kernels.
  func usesLowLatency(_ algorithm: KernelOutline.Algorithm) -> Bool {
    !gathersTokens
      && (algorithm == .lowLatency || (algorithm != .hierarchical && usesLowLatency))
  }

  /// How a function's layers are scheduled.
  private enum Scheduling {
    case anew(LoopSolver)
    case recorded(LayerSchedule)
    case unscheduled
  }

  private func plan(
    microBatches: Int, overlaps: Bool, _ contention: Contention,
    _ scheduling: (_ function: Int) -> Scheduling
  ) -> OverlapPlan {
    let layout = StepLayout(pool)
    var estimator = self
    estimator.microBatches = microBatches * layout.lots
    var plan = OverlapPlan(
      microBatches: microBatches, overlaps: overlaps,
      tokens: step.tokens / Double(estimator.microBatches))
    let prices = layout.stagePrices { call in
      let estimates = call.calls.flatMap { estimator.estimate(call: $0, stage: call.stage) }
      if overlaps, call.layers > 1,
        let price = estimator.scheduled(
          call.function, estimates, microBatches, contention,
          scheduling(call.function), into: &plan)
      {
        return price
      }
      return estimates.reduce(into: StepPrice()) { price, estimate in
        price.add(
          StepPrice(estimate.operations.map { TimedKernel($0) }),
          times: Double(max(estimate.layers.count, 1) * microBatches))
      }
    }
    plan.stages = prices.map(\.seconds)
    plan.take(layout.price(prices))
    return plan
  }

  /// Schedules the layers of a function and returns their price, or nil where they exchange
  /// nothing. Layers whose experts are loaded differently run by the schedule of a middling one and
  /// take as much longer or shorter as their kernels do.
  private func scheduled(
    _ function: Int, _ estimates: [FunctionEstimate], _ microBatches: Int,
    _ contention: Contention, _ scheduling: Scheduling, into plan: inout OverlapPlan
  ) -> StepPrice? {
    let sorted = estimates.indices.sorted {
      (estimates[$0].serial.value, $0) < (estimates[$1].serial.value, $1)
    }
    let middle = estimates[sorted[sorted.count / 2]]
    let loop = LayerLoop(
      pool.functions[function], estimate: middle, microBatches: microBatches,
      contention: contention, hardware: model.hardware)
    if !loop.communicates { return nil }
    let takesMultiprocessors = estimates.contains { $0.hasNormalExchange }
    var times: LayerLoop.Times?
    switch scheduling {
    case .unscheduled: return nil
    case .recorded(let record):
      times = loop.times(by: record)
      if times != nil { plan.schedules[function] = record }
    case .anew: break
    }
    if times == nil, let known = plan.schedules[function] { times = LayerLoop.Times(known) }
    if times == nil {
      var solver = LoopSolver(ordersAlike: true)
      if case .anew(let own) = scheduling { solver = own }
      guard let found = solver.solve(loop.body) else { return nil }
      var made = loop.record(found)
      if takesMultiprocessors { made.multiprocessors = contention.exchangeMultiprocessors }
      plan.schedules[function] = made
      times = LayerLoop.Times(made)
    }
    if takesMultiprocessors { plan.multiprocessors = contention.exchangeMultiprocessors }
    guard let times else { return nil }
    let layers = estimates.reduce(0) {
      $0 + Double(max($1.layers.count, 1)) * $1.serial.value / max(middle.serial.value, 1e-12)
    }
    return loop.price(times, layers: layers)
  }
}

extension OverlapPlan {
  mutating func take(_ price: StepPrice) {
    (step, computing) = (price.seconds, price.computing)
    exposed = max(0, step - computing - price.waiting)
  }
}

extension FunctionEstimate {
  /// Whether it exchanges rows with kernels that take multiprocessors.
  var hasNormalExchange: Bool { operations.contains { TimedKernel($0).kind == .normalExchange } }
}
