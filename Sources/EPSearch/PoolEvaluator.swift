internal import EPCompiler
internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan
internal import Glibc

/// Says what steps of pools take and hold. It remembers what it worked out, and belongs to one
/// thread; what it says does not depend on what it was asked before.
final class PoolEvaluator {
  let problem: SearchProblem
  private let tables: SearchTables
  private let times = KernelTimes()
  private var forms: [FormKey: Form?] = [:]
  private var sketches: [SketchKey: Pool?] = [:]
  private var calls: [CallKey: CallSeconds] = [:]
  private var memories: [MemoryKey: PoolMemory] = [:]
  private var arenas: [ArenaKey: Int] = [:]
  private var fitting: [FitKey: Bool] = [:]

  init(_ tables: SearchTables) {
    self.tables = tables
    problem = tables.problem
  }

  private struct FormKey: Hashable {
    var variant: SearchTables.Variant
    var form: PoolSketcher.Form
  }

  /// What pools of a form share.
  private struct Form {
    /// A number of its own.
    var id: Int
    var functions: [ShardedFunction]
    /// Whether each function has experts.
    var hasExperts: [Bool]
    /// Whether each function ends with logits.
    var hasLogits: [Bool]
  }

  private struct SketchKey: Hashable {
    var form: Int
    var mesh: Mesh
    var slotsPerRank: Int
  }

  private struct MemoryKey: Hashable {
    var form: Int
    var pp: Int
    var slotsPerRank: Int
  }

  private struct FitKey: Hashable {
    var sketch: SketchKey
    var role: Pool.Role
    var sequences: Int
    var promptTokens: Int
  }

  private struct ArenaKey: Hashable {
    var form: Int
    var function: Int
    var load: Pool.Load
    var capacity: Int
  }

  private struct CallKey: Hashable {
    var form: Int
    var function: Int
    var step: StepShape
    /// The micro-batches of the step where logits end: what is spent once a step is shared by them.
    var endsOf: Int?
    var attention: Precision.Format
    var isAcrossNodes: Bool
    var exchange: ExchangeKey?
  }

  private struct ExchangeKey: Hashable {
    var ep: Int
    var slotsPerRank: Int
    var isLowLatency: Bool
  }

  private func form(_ shape: PoolShape) -> Form? {
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
      hasLogits: functions.map { sharded in
        sharded.function.results.contains { $0.name == "logits" }
      })
  }

  private func emptyPool(_ shape: PoolShape) -> Pool {
    Pool(
      role: shape.role, firstRank: 0, mesh: shape.mesh,
      load: Pool.Load(sequences: 1, tokens: 1, context: 1), activations: problem.activations)
  }

  private func sketchKey(_ shape: PoolShape, _ form: Form) -> SketchKey {
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

  /// What the fullest rank of the pool holds under a load.
  func memory(_ shape: PoolShape, _ load: Pool.Load) -> MemoryTable? {
    guard let form = form(shape), var pool = sketch(shape),
      let sketcher = tables.sketchers[tables.variant(shape)]
    else { return nil }
    let key = MemoryKey(form: form.id, pp: shape.mesh.pp, slotsPerRank: shape.slotsPerRank)
    if memories[key] == nil {
      memories[key] = PoolMemory(pool, precision: shape.precision, context: load.context)
    }
    guard let memory = memories[key] else { return nil }
    pool.load = load
    return memory.table(
      sequences: load.sequences,
      cacheShare: (problem.cacheFormat ?? problem.activations).bitsPerElement
        / problem.activations.bitsPerElement
    ) { index in
      let capacity =
        index < form.hasExperts.count && form.hasExperts[index]
        ? sketcher.routedCapacity(ofFunction: index, in: pool) : 0
      let key = ArenaKey(form: form.id, function: index, load: load, capacity: capacity)
      if let known = arenas[key] { return (known, capacity) }
      let bytes = sketcher.arenaBytes(ofFunction: index, routedCapacity: capacity, in: pool)
      arenas[key] = bytes
      return (bytes, capacity)
    }
  }

  /// Whether a load fits the usable memory of a device.
  func fits(_ shape: PoolShape, sequences: Int, promptTokens: Int) -> Bool {
    guard let form = form(shape) else { return false }
    let key = FitKey(
      sketch: sketchKey(shape, form), role: shape.role, sequences: sequences,
      promptTokens: promptTokens)
    if let known = fitting[key] { return known }
    let load = load(shape, sequences: sequences, promptTokens: promptTokens)
    let fits =
      load.problem == nil
      && memory(shape, load).map { $0.total <= tables.usableBytes } ?? false
    fitting[key] = fits
    return fits
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

  /// Seconds of a step with the faster overlap that the kernels allow; nil where none does.
  func seconds(_ shape: PoolShape, _ step: StepShape) -> (seconds: Double, overlap: OverlapChoice)?
  {
    guard let form = form(shape), let pool = sketch(shape) else { return nil }
    var estimator = estimator(shape, pool)
    estimator.step = step
    let isAcross = shape.mesh.pp > 1 && shape.mesh.stageRanks >= estimator.devicesPerNode
    var best: (seconds: Double, overlap: OverlapChoice)?
    for overlap in OverlapChoice.allCases {
      let parts = shape.mesh.pp * (overlap == .twoBatches ? 2 : 1)
      let rows = step.tokens / Double(shape.mesh.tp * parts)
      if shape.isLowLatency && rows > Double(problem.space.mostLowLatencyRows) { continue }
      if overlap == .twoBatches && (shape.mesh.ep == 1 || step.sequences < Double(parts)) {
        continue
      }
      let seconds = estimator.stepSeconds(overlap) { estimator, call, samples in
        let hasExperts = call.function < form.hasExperts.count && form.hasExperts[call.function]
        var key = CallKey(
          form: form.id, function: call.function, step: estimator.step.split(into: parts),
          endsOf: samples ? estimator.microBatches : nil, attention: shape.attention,
          isAcrossNodes: isAcross)
        func part(_ part: StepEstimator.CallPart) -> CallSeconds {
          if let known = calls[key] { return known }
          let made = estimator.seconds(
            function: call.function, layer: call.layers.first ?? -1, part: part, samples: samples,
            times: times)
          calls[key] = made
          return made
        }
        let local = part(.local)
        if !hasExperts { return local }
        key.exchange = ExchangeKey(
          ep: shape.mesh.ep, slotsPerRank: shape.slotsPerRank, isLowLatency: shape.isLowLatency)
        return local + part(.routed)
      }
      if best.map({ seconds < $0.seconds }) ?? true { best = (seconds, overlap) }
    }
    return best
  }

  /// Tokens that a sequence gains in a step.
  func gained(_ shape: PoolShape) -> Double {
    var chance = 1.0
    return (0..<shape.drafts).reduce(1.0) { sum, _ in
      chance *= problem.acceptance
      return sum + chance
    }
  }

  /// A decode pool's point; nil where kernels do not allow it.
  func decodePoint(_ shape: PoolShape, sequences: Int) -> PoolPoint? {
    let step = StepShape(
      sequences: Double(sequences), drafts: shape.drafts, context: Double(problem.decodeContext),
      promptTokens: 0, length: 1, read: 1)
    guard let (seconds, overlap) = seconds(shape, step) else { return nil }
    let gained = gained(shape)
    return PoolPoint(
      shape: shape, sequences: sequences, promptTokens: 0, step: seconds, promptStep: 0,
      timePerToken: seconds / gained, timeToFirstToken: 0,
      requestRate: Double(shape.mesh.dp * sequences) * gained / seconds
        / Double(problem.outputLength),
      balancedness: tables.balancedness(shape), overlap: overlap)
  }

  /// A prefill pool's point. A prompt waits half a step for the one under way to end.
  func prefillPoint(_ shape: PoolShape, tokens: Int) -> PoolPoint? {
    let read = problem.tokensRead
    let step = StepShape(
      prompts: Double(tokens), length: Double(problem.promptLength), read: read)
    guard let (seconds, overlap) = seconds(shape, step) else { return nil }
    let steps = (read / Double(tokens)).rounded(.up)
    return PoolPoint(
      shape: shape, sequences: 0, promptTokens: tokens, step: seconds, promptStep: seconds,
      timePerToken: 0, timeToFirstToken: (steps + 0.5) * seconds,
      requestRate: Double(shape.mesh.dp * tokens) / (seconds * read),
      balancedness: tables.balancedness(shape), overlap: overlap)
  }

  /// A unified pool's point: each data group decodes `sequences` and reads `chunk` tokens of a
  /// prompt in some of its steps, so many that prompts come as fast as sequences end. All groups
  /// wait for those that read.
  func unifiedPoint(_ shape: PoolShape, sequences: Int, chunk: Int) -> PoolPoint? {
    let read = problem.tokensRead
    let gained = gained(shape)
    let decode = StepShape(
      sequences: Double(sequences), drafts: shape.drafts, context: Double(problem.decodeContext),
      promptTokens: 0, length: 1, read: 1)
    let mixed = StepShape(
      sequences: Double(sequences), drafts: shape.drafts, context: Double(problem.decodeContext),
      promptTokens: Double(chunk), length: Double(problem.promptLength), read: read)
    guard let plain = seconds(shape, decode), let full = seconds(shape, mixed) else { return nil }
    let ends = Double(sequences) * gained / Double(problem.outputLength)
    // A prompt's last chunk fills its step no more than the others do.
    let busy = ends * (read / Double(chunk)).rounded(.up)
    let carrying = 1 - pow(1 - min(busy, 1), Double(shape.mesh.dp))
    let longer = max(plain.seconds, full.seconds)
    let step = (1 - carrying) * plain.seconds + carrying * longer
    let service = (read / Double(chunk)).rounded(.up) * longer
    let utilization = busy / problem.mostUtilization
    let waits = utilization < 1 ? utilization / (2 * (1 - utilization)) : .infinity
    return PoolPoint(
      shape: shape, sequences: sequences, promptTokens: chunk, step: step, promptStep: longer,
      timePerToken: step / gained, timeToFirstToken: service * (1 + waits) + 0.5 * step,
      requestRate: utilization <= 1 ? Double(shape.mesh.dp) * ends / step : 0,
      balancedness: tables.balancedness(shape), overlap: full.overlap)
  }
}
