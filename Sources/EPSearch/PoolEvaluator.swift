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
  var kernels: [CallKey: CallKernels] = [:]
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
  private struct Asked {
    var shape: PoolShape
    var pricer: StepPricer
    /// What one batch takes, what steps take at least, and what they take.
    var ones: [StepShape: StepPricer.OneBatch?] = [:]
    var bounds: [StepShape: Double?] = [:]
    var seconds: [StepShape: (seconds: Double, overlap: OverlapChoice)?] = [:]
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

  struct CallKey: Hashable {
    var form: Int
    var function: Int
    var step: StepShape
    /// The micro-batches of the step where logits end: what is spent once a step is shared by them.
    var endsOf: Int?
    var attention: Precision.Format
    var isAcrossNodes: Bool
    var exchange: ExchangeKey?

    /// What tells nearly all keys apart, in a part of the time.
    func hash(into hasher: inout Hasher) {
      hasher.combine(step)
      let ranks = exchange.map { $0.ep << 12 ^ $0.slotsPerRank << 1 ^ ($0.isLowLatency ? 1 : 0) }
      hasher.combine((ranks ?? -1) << 16 ^ form << 8 ^ function << 4 ^ (endsOf ?? 0))
    }
  }

  struct ExchangeKey: Hashable {
    var ep: Int
    var slotsPerRank: Int
    var isLowLatency: Bool
  }

  func form(_ shape: PoolShape) -> Form? {
    let variant = tables.variant(shape)
    let key = FormKey(variant: variant, form: PoolSketcher.Form(shape.mesh))
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
    return estimator
  }

  /// Seconds of a step, run as `--overlap auto` would, and the way; nil where no kernels allow it.
  func seconds(_ shape: PoolShape, _ step: StepShape) -> (seconds: Double, overlap: OverlapChoice)?
  {
    guard let pricer = pricer(shape) else { return nil }
    if let known = current?.seconds[step] { return known }
    let made = pricer.seconds(step)
    current?.seconds[step] = .some(made)
    return made
  }

  /// Seconds that a step takes at least; nil where no kernels allow it.
  func leastSeconds(_ shape: PoolShape, _ step: StepShape) -> Double? {
    guard let pricer = pricer(shape) else { return nil }
    if let known = current?.bounds[step] { return known }
    let made = pricer.bound(step, oneBatch(step, pricer))
    current?.bounds[step] = .some(made)
    return made
  }

  /// Seconds that a step takes at least, from the kernels of one batch if those allow it: less than
  /// `leastSeconds`, in a part of the time.
  func roughSeconds(_ shape: PoolShape, _ step: StepShape) -> Double? {
    guard let pricer = pricer(shape) else { return nil }
    if let known = current?.bounds[step] { return known }
    return oneBatch(step, pricer)?.rough ?? leastSeconds(shape, step)
  }

  /// Seconds that a step takes at most, one operation after the other; nil where no kernels allow it.
  func mostSeconds(_ shape: PoolShape, _ step: StepShape) -> Double? {
    pricer(shape).flatMap { oneBatch(step, $0) }?.serial
  }

  private func oneBatch(_ step: StepShape, _ pricer: StepPricer) -> StepPricer.OneBatch? {
    if let known = current?.ones[step] { return known }
    let made = pricer.oneBatch(step)
    current?.ones[step] = .some(made)
    return made
  }

  private func pricer(_ shape: PoolShape) -> StepPricer? {
    if let current, current.shape == shape { return current.pricer }
    guard let form = form(shape), let pool = sketch(shape) else { return nil }
    let estimator = estimator(shape, pool)
    // Stages are cut by what their weights take, slots included.
    let key = MemoryKey(
      form: form.id, pp: shape.mesh.pp, slotsPerRank: shape.slotsPerRank)
    let layout = layouts[key] ?? StepLayout(pool)
    layouts[key] = layout
    let isAcross = shape.mesh.pp > 1 && shape.mesh.stageRanks >= estimator.devicesPerNode
    let pricer = StepPricer(
      estimator: estimator, layout: layout,
      contentions: estimator.contentions(over: StepEstimator.exchangeMultiprocessors),
      mostRows: shape.isLowLatency ? Double(problem.space.mostLowLatencyRows) : .infinity,
      cuts: !problem.program.routesWithCapacity, paths: form.paths,
      kernels: { [unowned self] in kernels(shape, form, $0, $1, isAcross: isAcross) },
      times: { [unowned self] in times(form, $0, $1) })
    current = Asked(shape: shape, pricer: pricer)
    return pricer
  }

  private func times(
    _ form: Form, _ call: StepLayout.Call, _ loop: LayerLoop
  ) -> LayerLoop.Times? {
    let key = LoopKey(
      form: form.id, function: call.function, microBatches: loop.microBatches, jobs: loop.jobs)
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
