internal import EPCost
internal import EPIR
public import EPModel
internal import EPPlacement
internal import EPPlan

extension Compiler {
  /// Decides into how many micro-batches steps are cut, and when kernels and exchanges of repeated
  /// layers run.
  @Sendable static func scheduleOverlap(_ compilation: inout Compilation) throws(Diagnostics) {
    for index in compilation.pools.indices {
      guard case .microBatches(let count) = compilation.wish(ofPool: index) else { continue }
      if !(1...LayerSchedule.mostMicroBatches).contains(count) {
        throw Diagnostics(
          "overlap",
          "\(count) micro-batches; a step has at least 1 and at most "
            + "\(LayerSchedule.mostMicroBatches)")
      }
      if count == 1 || !compilation.program.routesWithCapacity { continue }
      throw Diagnostics(
        "overlap-capacity",
        "\(count) micro-batches, and a router of \(compilation.program.name) drops what is beyond an "
          + "expert's capacity in a step, so that parts of it would route otherwise; take '--overlap 1'"
      )
    }
    var steps: [Int: Double] = [:]
    for index in compilation.pools.indices {
      let isPipeline = compilation.pools[index].pipeline != nil
      if let choice = try OverlapDecision(compilation, pool: index) {
        steps[index] = choice.plan.step
        compilation.apply(choice.plan, toPool: index)
        compilation.decisions.append(choice.sentence)
      } else if isPipeline {
        compilation.apply(try compilation.estimator(ofPool: index).serialPlan(), toPool: index)
      }
      if isPipeline { compilation.decisions.append(compilation.pipelineSentence(index)) }
    }
    if let from = compilation.pools.firstIndex(where: { $0.role == .prefill }),
      let to = compilation.pools.firstIndex(where: { $0.role == .decode }), let step = steps[from]
    {
      compilation.decisions.append(compilation.handoverSentence(from, to, step: step))
    }
  }
}

extension Compilation {
  /// How a pool may overlap.
  fileprivate func wish(ofPool index: Int) -> OverlapChoice {
    request.pools[index].overlap ?? request.overlap
  }

  /// Cuts a pool's steps and gives its layers their schedules.
  mutating func apply(_ plan: OverlapPlan, toPool index: Int) {
    pools[index].microBatches = plan.microBatches
    pools[index].pipeline = pools[index].pipeline.map {
      PipelineSchedule(
        lots: $0.lots, stages: plan.stages.map { Int(saturating: ($0 * 1e9).rounded()) },
        returns: pools[index].role != .prefill)
    }
    for function in pools[index].functions.indices {
      let placement = pools[index].placements.first { $0.function == function }
      pools[index].functions[function].routedCapacity = Compiler.routedCapacity(
        of: pools[index].functions[function], pools[index], placement,
        factor: request.capacityFactor)
      pools[index].functions[function].schedule = plan.schedules[function]
    }
  }
}

extension Compilation {
  /// What prices the steps of a pool.
  ///
  /// - Throws: where loads do not fit the pool; they have been refused when experts were placed.
  fileprivate func estimator(ofPool index: Int) throws(Diagnostics) -> StepEstimator {
    var estimator = StepEstimator(
      pools[index], precision: program.precision,
      model: CostModel(cluster.hardware, calibration: request.calibration),
      devicesPerNode: cluster.devicesPerNode)
    if let source = request.loads {
      do { estimator.loads = try source.loads(of: pools[index]) } catch {
        throw Diagnostics("expert-loads", error.description)
      }
    }
    estimator.assumedBalancedness = request.pools[index].balancedness
    return estimator
  }

  /// How lots pass the stages of a pool's pipeline.
  fileprivate func pipelineSentence(_ index: Int) -> String {
    let pool = pools[index]
    guard let pipeline = pool.pipeline else { return "" }
    func milliseconds(_ nanoseconds: Int) -> String {
      "\(OverlapDecision.digits(Double(nanoseconds) / 1e6)) ms"
    }
    return
      "\(pool.role.rawValue): \(pipeline.lots) lot\(pipeline.lots == 1 ? "" : "s") of a step under "
      + "way in \(pool.mesh.pp) stages, \(milliseconds(pipeline.interval)) apart; steps follow after "
      + "\(milliseconds(pipeline.period)), and stages have "
      + "\(OverlapDecision.percent(pipeline.bubble)) of it nothing to do; a step alone takes "
      + milliseconds(pipeline.span)
  }

  /// What the hand-over of caches takes, and what of it shows behind the prefill.
  fileprivate func handoverSentence(_ from: Int, _ to: Int, step: Double) -> String {
    let model = CostModel(cluster.hardware, calibration: request.calibration)
    let overlap = model.overlap(
      of: Handover.make(from: from, to: to, in: pools), from: pools[from], to: pools[to], step: step
    )
    let mebibytes = OverlapDecision.digits(Double(overlap.bytes) / Double(1 << 20))
    let layout =
      overlap.sendParts == overlap.receiveParts
      ? "entries keep their layout"
      : "parts of \(overlap.sendParts) ranks become parts of \(overlap.receiveParts)"
    return
      "hand-over: \(mebibytes) MiB a sequence of \(pools[from].load.context) tokens, \(layout); "
      + "a prefill step's take \(OverlapDecision.digits(overlap.alone * 1e3)) ms alone, and sent layer "
      + "by layer \(OverlapDecision.digits(overlap.tail * 1e3)) ms behind the step"
  }
}

/// The way of overlapping that takes a pool the least time, and why.
struct OverlapDecision {
  /// The way taken.
  let plan: OverlapPlan
  /// Every way that was looked at, the one without overlap first.
  let candidates: [OverlapPlan]
  /// What layers take at least in parts of unequal size, beside the period of equal ones.
  private var uneven: Double?
  private let role: Pool.Role
  private let pool: Pool
  private let wish: CompileRequest.Overlap

  /// Nil where nothing of the pool's layers communicates.
  init?(_ compilation: Compilation, pool index: Int) throws(Diagnostics) {
    let pool = compilation.pools[index]
    let isExchanging = pool.functions.contains { $0.streams.contains(.communication) }
    if compilation.wish(ofPool: index) == .none { return nil }
    if !isExchanging && compilation.wish(ofPool: index) == .auto { return nil }
    self.pool = pool
    role = pool.role
    wish = compilation.wish(ofPool: index)
    let estimator = try compilation.estimator(ofPool: index)
    let open = estimator.overlapPlans(wish, cuts: !compilation.program.routesWithCapacity)
    var candidates = open
    if candidates.first?.overlaps ?? true { candidates.insert(estimator.serialPlan(), at: 0) }
    let fitting = open.filter {
      $0.microBatches == 1 || OverlapDecision.fits($0, compilation, index)
    }
    guard let plan = OverlapPlan.preferred(among: fitting) else { return nil }
    self.plan = plan
    self.candidates = candidates
    if let (function, schedule) = repeated,
      let least = estimator.leastPeriod(
        ofUneven: function, microBatches: plan.microBatches, multiprocessors: plan.multiprocessors)
    {
      uneven = Double(least) / Double(max(schedule.period, 1)) - 1
    }
  }

  /// Whether a pool cut so fits into memory.
  private static func fits(_ plan: OverlapPlan, _ compilation: Compilation, _ index: Int) -> Bool {
    var trial = compilation
    trial.apply(plan, toPool: index)
    do { try Compiler.planMemory(&trial) } catch { return false }
    let usable = Int(
      Double(trial.cluster.hardware.memoryBytes) * trial.cluster.usableFraction)
    let pool = trial.pools[index]
    return pool.stages.indices.allSatisfy {
      pool.memoryTable(ofStage: $0, precision: trial.program.precision).total <= usable
    }
  }

  // MARK: Why

  /// What was chosen and what else would have taken how long.
  var sentence: String {
    let others = best(of: candidates)
    var text = "\(role.rawValue): \(name(plan)), \(milliseconds(plan.step)) a step"
    let compared = others.filter { name($0) != name(plan) }
    if !compared.isEmpty {
      text +=
        " against "
        + compared.map { "\(milliseconds($0.step)) with \(name($0))" }.joined(separator: " and ")
    }
    if let (function, schedule) = repeated {
      text +=
        "; \(pool.functions[function].function.name) takes \(microseconds(schedule.period)) a layer"
        + ", \(OverlapDecision.percent(schedule.gap)) above the least possible"
    }
    if let uneven {
      text +=
        uneven < 0
        ? "; parts of unequal size would save \(OverlapDecision.percent(-uneven)) at most"
        : "; parts of unequal size would take \(OverlapDecision.percent(uneven)) longer at least"
    }
    text +=
      "; \(OverlapDecision.percent(plan.exposedShare)) of the step is communication that shows"
    if let share = plan.multiprocessors, plan.overlaps {
      text += "; exchanges take \(share) multiprocessors"
    }
    return text + reason
  }

  /// Why more micro-batches do not pay, where they do not.
  private var reason: String {
    guard plan.microBatches == 1,
      let two = candidates.filter({ $0.microBatches == 2 }).min(by: { $0.step < $1.step }),
      let one = candidates.first
    else { return "" }
    if two.step <= plan.step { return "; two micro-batches do not fit into memory" }
    let more = OverlapDecision.percent(two.computing / max(one.computing, 1e-12) - 1)
    return "; no micro-batches: two of \(tokens(two.tokens)) compute \(more) longer than one of "
      + "\(tokens(one.tokens)), and would hide only \(milliseconds(max(0, one.exposed - two.exposed)))"
  }

  /// The best of each number of micro-batches.
  private func best(of plans: [OverlapPlan]) -> [OverlapPlan] {
    var best: [OverlapPlan] = []
    for plan in plans {
      if let index = best.firstIndex(where: { name($0) == name(plan) }) {
        if plan.step < best[index].step { best[index] = plan }
      } else {
        best.append(plan)
      }
    }
    return best
  }

  /// The scheduled function that most layers call.
  private var repeated: (Int, LayerSchedule)? {
    let counts = pool.stages.joined().reduce(into: [Int: Int]()) {
      $0[$1.function, default: 0] += $1.layers.count
    }
    return plan.schedules.keys.sorted().max { (counts[$0] ?? 0, $1) < (counts[$1] ?? 0, $0) }
      .flatMap { key in plan.schedules[key].map { (key, $0) } }
  }

  private func name(_ plan: OverlapPlan) -> String {
    plan.choice.phrase
  }

  private func tokens(_ count: Double) -> String {
    let whole = Int(saturating: count.rounded())
    return "\(whole) token\(whole == 1 ? "" : "s")"
  }

  private func milliseconds(_ seconds: Double) -> String {
    "\(OverlapDecision.digits(seconds * 1e3)) ms"
  }

  private func microseconds(_ nanoseconds: Int) -> String {
    "\(OverlapDecision.digits(Double(nanoseconds) / 1e3)) us"
  }

  static func percent(_ share: Double) -> String { "\(digits(share * 100)) %" }

  /// Three digits that count, or whole numbers.
  static func digits(_ value: Double) -> String {
    let places = value < 10 ? 100 : value < 100 ? 10 : 1
    let units = Int(saturating: (value * Double(places)).rounded())
    if places == 1 { return "\(units)" }
    let rest = String(units % places + places).dropFirst()
    return "\(units / places).\(rest)"
  }
}

extension ModelProgram {
  /// Whether some router looks at all tokens of a step together, so that steps cannot be cut.
  public var routesWithCapacity: Bool {
    functions.contains { function in
      function.operations.contains {
        $0.kind == .route && $0.attributes["capacity_factor"] != nil
      }
    }
  }
}
