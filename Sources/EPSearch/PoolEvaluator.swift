internal import EPCompiler
internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan
internal import EPSchedule

/// Says what steps of pools take and hold. It remembers what it worked out, and belongs to one
/// thread; what it says does not depend on what it was asked before.
final class PoolEvaluator {
  let problem: SearchProblem
  let tables: SearchTables
  let times = KernelTimes()
  private var forms: [FormKey: Form?] = [:]
  private var sketches: [SketchKey: Pool?] = [:]
  var lines: [LineKey: KernelLine] = [:]
  var layouts: [MemoryKey: StepLayout] = [:]
  var loops: [LoopKey: LayerLoop.Times] = [:]
  private var current: Asked?
  var memories: [MemoryKey: PoolMemory] = [:]
  var arenas: [ArenaKey: Int] = [:]
  var fitting: [FitKey: Bool] = [:]

  init(_ tables: SearchTables) {
    self.tables = tables
    problem = tables.problem
  }

  /// Forgets what few pools share: those of other sizes have little use for it.
  func forgetPools() {
    current = nil
    sketches = [:]
    fitting = [:]
    lines = lines.filter { $0.key.exchange == nil }
  }

  private struct FormKey: Hashable {
    var variant: SearchTables.Variant
    var form: PoolSketcher.Form
  }

  /// What pools of a form share.
  struct Form {
    /// A number of its own.
    var id: Int
    var functions: [ShardedFunction]
    /// Whether each function has experts.
    var hasExperts: [Bool]
    /// The way through each function's layers.
    var paths: [LayerPath]
    /// What each function's kernels are made of.
    var outlines: [KernelOutline]
  }

  /// The shape that was asked for last, which is most often asked for again.
  private final class Asked {
    let shape: PoolShape
    let pricer: StepPricer
    /// What is fast to say of steps, what they take at least, and what they take.
    var roughs: [StepShape: StepPricer.Rough?] = [:]
    var bounds: [StepShape: Double?] = [:]
    var seconds: [StepShape: (seconds: Double, overlap: OverlapChoice)?] = [:]

    init(_ shape: PoolShape, _ pricer: StepPricer) { (self.shape, self.pricer) = (shape, pricer) }
  }

  /// Layers with these jobs have the same schedule.
  struct LoopKey: Hashable {
    var form: Int
    var function: Int
    var microBatches: Int
    var jobs: [LayerLoop.Job]
  }

  struct SketchKey: Hashable {
    var form: Int
    var mesh: Mesh
    var slotsPerRank: Int
  }

  struct MemoryKey: Hashable {
    var form: Int
    var pp: Int
    var slotsPerRank: Int
  }

  struct FitKey: Hashable {
    var sketch: SketchKey
    var role: Pool.Role
    var sequences: Int
    var promptTokens: Int
  }

  struct ArenaKey: Hashable {
    var form: Int
    var function: Int
    var load: Pool.Load
    var lots: Int
    var capacity: Int
  }

  /// What calls share kernels in, step for step.
  struct LineKey: Hashable {
    var form: Int
    var function: Int
    var samples: Bool
    var attention: Precision.Format
    var isAcrossNodes: Bool
    /// Of what depends on experts' ranks.
    var exchange: ExchangeKey?
  }

  struct ExchangeKey: Hashable {
    var ep: Int
    var slotsPerRank: Int
    var isLowLatency: Bool
  }

  func form(_ shape: PoolShape) -> Form? {
    let variant = tables.variant(shape)
    let key = FormKey(variant: variant, form: PoolSketcher.Form(shape.role, shape.mesh))
    if let known = forms[key] { return known }
    forms[key] = .some(makeForm(shape, variant))
    return forms[key] ?? nil
  }

  private func makeForm(_ shape: PoolShape, _ variant: SearchTables.Variant) -> Form? {
    guard let sketcher = tables.sketchers[variant],
      let functions = try? sketcher.functions(of: emptyPool(shape))
    else { return nil }
    return Form(
      id: forms.count, functions: functions,
      hasExperts: functions.map { sharded in
        sharded.function.operations.contains { $0.kind == .dispatch }
      },
      paths: functions.map { LayerPath($0) }, outlines: functions.map { KernelOutline($0) })
  }

  private func emptyPool(_ shape: PoolShape) -> Pool {
    Pool(
      role: shape.role, firstRank: 0, mesh: shape.mesh,
      load: Pool.Load(sequences: 1, tokens: 1, context: 1), activations: problem.activations)
  }

  func sketchKey(_ shape: PoolShape, _ form: Form) -> SketchKey {
    SketchKey(form: form.id, mesh: shape.mesh, slotsPerRank: shape.slotsPerRank)
  }

  /// The pool, sharded; nil where the model cannot be split so.
  func sketch(_ shape: PoolShape) -> Pool? {
    guard let form = form(shape) else { return nil }
    let key = sketchKey(shape, form)
    if sketches[key] == nil {
      let sketcher = tables.sketchers[tables.variant(shape)]
      sketches[key] = .some(
        try? sketcher?.sketch(
          emptyPool(shape), functions: form.functions, slotsPerRank: shape.slotsPerRank))
    }
    guard var pool = sketches[key] ?? nil else { return nil }
    pool.role = shape.role
    return pool
  }

  /// The load that the compiler gives a pool of that point.
  func load(_ shape: PoolShape, sequences: Int, promptTokens: Int) -> Pool.Load {
    SearchTables.request(shape, sequences: sequences, promptTokens: promptTokens).load(
      shape.mesh, drafts: shape.drafts, context: problem.cachedContext,
      vocabulary: problem.program.vocabulary)
  }

  /// The estimator of a pool, without a step.
  func estimator(_ shape: PoolShape, _ pool: Pool) -> StepEstimator {
    var estimator = StepEstimator(
      pool, precision: shape.precision, model: problem.cost,
      devicesPerNode: problem.cluster.devicesPerNode)
    estimator.assumedBalancedness = tables.balancedness(shape)
    estimator.attentionFormat = shape.attention
    estimator.usesLowLatency = shape.isLowLatency
    estimator.gathersTokens = problem.gathersTokens
    return estimator
  }

  /// Seconds of a step, run as `--overlap auto` would, and the way; nil where no kernels allow it.
  func seconds(_ shape: PoolShape, _ step: StepShape) -> (seconds: Double, overlap: OverlapChoice)?
  {
    guard let asked = asked(shape) else { return nil }
    if let known = asked.seconds[step] { return known }
    let made = asked.pricer.seconds(step)
    asked.seconds[step] = .some(made)
    return made
  }

  /// Seconds that a step takes at least; nil where no kernels allow it.
  func leastSeconds(_ shape: PoolShape, _ step: StepShape) -> Double? {
    guard let asked = asked(shape) else { return nil }
    if let known = asked.bounds[step] { return known }
    let made = asked.pricer.bound(step)
    asked.bounds[step] = .some(made)
    return made
  }

  /// Seconds that a step and all larger ones take at least: less than `leastSeconds`, in a part of the
  /// time.
  func roughSeconds(_ shape: PoolShape, _ step: StepShape) -> Double? {
    rough(shape, step)?.floor
  }

  /// Seconds of a step at most, one operation after the other; nil where no kernels allow it.
  func mostSeconds(_ shape: PoolShape, _ step: StepShape) -> Double? {
    rough(shape, step)?.serial
  }

  private func rough(_ shape: PoolShape, _ step: StepShape) -> StepPricer.Rough? {
    guard let asked = asked(shape) else { return nil }
    if let known = asked.roughs[step] { return known }
    let made = asked.pricer.rough(step)
    asked.roughs[step] = .some(made)
    return made
  }

  private func asked(_ shape: PoolShape) -> Asked? {
    if let current, current.shape == shape { return current }
    guard let form = form(shape), let pool = sketch(shape) else { return nil }
    let estimator = estimator(shape, pool)
    // Stages are cut by what their weights take, slots included.
    let key = MemoryKey(
      form: form.id, pp: shape.mesh.pp, slotsPerRank: shape.slotsPerRank)
    let layout = layouts[key] ?? StepLayout(pool)
    layouts[key] = layout
    var kinds: [StepPricer.Call] = []
    let calls = layout.stages.joined().map { call in
      let kind = kinds.firstIndex {
        $0.function == call.function && $0.samples == call.samples
          && $0.repeats == (call.layers > 1)
      }
      let made = StepPricer.Call(
        function: call.function, layers: Double(call.layers),
        layer: call.calls.first?.layers.first ?? -1, samples: call.samples,
        kind: kind ?? kinds.count)
      if kind == nil { kinds.append(made) }
      return made
    }
    let lines = lines(
      of: kinds, shape, form,
      isAcross: shape.mesh.pp > 1 && shape.mesh.stageRanks >= estimator.devicesPerNode)
    let planners = kinds.map { call in
      CallPlanner(
        estimator, function: call.function, layer: call.layer,
        // What stages send and receive with is not the form's.
        outline: call.function < form.outlines.count ? form.outlines[call.function] : nil,
        times: times)
    }
    let pricer = StepPricer(
      estimator: estimator, layout: layout,
      mostRows: shape.isLowLatency ? Double(problem.space.mostLowLatencyRows) : .infinity,
      cuts: tables.cuts, paths: form.paths, calls: calls, kinds: kinds,
      kernels: { [unowned self] step, parts, kind in
        kernels(lines[kind], planners[kind], samples: kinds[kind].samples, step, parts)
      },
      times: { [unowned self] in times(form, $0, $1) })
    let asked = Asked(shape, pricer)
    current = asked
    return asked
  }

  private func times(
    _ form: Form, _ function: Int, _ loop: LayerLoop
  ) -> LayerLoop.Times? {
    let key = LoopKey(
      form: form.id, function: function, microBatches: loop.microBatches, jobs: loop.jobs)
    if let known = loops[key] { return known }
    let made = loop.times(LoopSolver(ordersAlike: true))
    loops[key] = made
    return made
  }

  /// Tokens that a sequence gains in a step.
  func gained(_ shape: PoolShape) -> Double {
    var chance = 1.0
    return (0..<shape.drafts).reduce(1.0) { sum, _ in
      chance *= problem.acceptance
      return sum + chance
    }
  }
}
