internal import EPCompiler
public import EPCost
public import EPIR
public import EPModel
internal import EPPlacement
internal import EPPlan

extension MeasuredCase {
  /// What the cost model says of a case.
  public struct Prediction {
    /// Tokens a second and device, with an interval, or a ratio.
    public var figure: Figure
    /// The steps that a throughput comes from, each in a pool that runs them as they were priced; empty
    /// for a ratio.
    public var steps: [StepEstimator] = []
    /// Whether experts were placed for their loads; otherwise they lie in order.
    public var placesExperts = true
    /// Tokens a second and device if those steps take so many seconds.
    public var rate: (_ seconds: [Double]) -> Double = { _ in 0 }
  }

  /// What the cost model says of the case.
  public func predicted(
    _ program: ModelProgram, on cost: CostModel
  ) throws(Diagnostics) -> Prediction {
    switch phase {
    case .balancedness: return Prediction(figure: try balancedness(program))
    case .prefill, .decode: return try step(program, cost)
    case .aggregated: return try aggregated(program, cost)
    case nil: throw Diagnostics("case-file", "\(id) is of no known phase")
    }
  }

  private func mesh() throws(Diagnostics) -> Mesh {
    let mesh = Mesh(
      pp: try needed("pp"), dp: try needed("dp"), tp: try needed("tp"), ep: try needed("ep"))
    if let problem = mesh.problem { throw Diagnostics("case-file", "\(id): \(problem)") }
    return mesh
  }

  private func format(_ column: String) throws(Diagnostics) -> Precision.Format? {
    if text(column).isEmpty { return nil }
    guard let format = Precision.Format(rawValue: text(column)) else {
      throw Diagnostics("case-file", "'\(text(column))' of \(id) is no number format")
    }
    return format
  }

  private func balancedness(_ program: ModelProgram) throws(Diagnostics) -> Figure {
    let experts = SearchTables.experts(of: program)
    let ranks = try needed("ep")
    let ratio = try balancedness(
      experts: experts, ranks: ranks, slots: try needed("slots"))
    return Figure(ratio, provenance: .derived, source: "expert loads", spread: 1.15)
  }

  /// Mean over largest load, as the case says: a number, even, with experts in order or placed.
  private func balancedness(
    experts: Int, ranks: Int, slots: Int
  ) throws(Diagnostics) -> Double {
    switch text("balance") {
    case "", "even": return 1
    case "eplb", "off":
      do throws(PlacementError) {
        return try ExpertSkew.typical.balancedness(
          experts: experts, ranks: ranks, slotsPerRank: slots, isBalanced: text("balance") == "eplb"
        )
      } catch { throw Diagnostics("case-file", "\(id): \(error.description)") }
    default:
      guard let ratio = Double(text("balance")), ratio > 0, ratio <= 1 else {
        throw Diagnostics("case-file", "'\(text("balance"))' of \(id) is no balance")
      }
      return ratio
    }
  }

  /// The problem of which the case is one point.
  private func problem(
    _ program: ModelProgram, _ cost: CostModel, mesh: Mesh
  ) throws(Diagnostics) -> SearchProblem {
    var problem = SearchProblem(
      program, cluster: Cluster(cost.hardware, devices: mesh.ranks), cost: cost,
      promptLength: try needed("isl"), outputLength: try size("osl") ?? 1)
    let own = program.precision
    problem.program.precision = Precision(
      linear: try format("linear") ?? own.linear, experts: try format("experts") ?? own.experts,
      other: own.other)
    problem.space.drafts = [0, 1]
    problem.cacheFormat = try format("cache")
    if let usable = Double(text("usable")), usable > 0, usable <= 1 {
      problem.cluster.usableFraction = usable
    }
    problem.space.mostLowLatencyRows = .max
    problem.gathersTokens = text("exchange") == "all_gather"
    problem.keepsWholeCaches = text("windows") == "whole"
    problem.skew = .even
    return problem
  }

  private func shape(
    _ role: Pool.Role, _ mesh: Mesh, _ tables: SearchTables, drafts: Int
  ) throws(Diagnostics) -> PoolShape {
    let least = mesh.ep > 0 ? (tables.experts + mesh.ep - 1) / mesh.ep : 0
    return PoolShape(
      role: role, mesh: mesh, slotsPerRank: try size("slots") ?? least,
      drafts: min(drafts, tables.problem.program.drafts.count),
      isLowLatency: mesh.ep > 1 && role != .prefill
        && !["normal", "all_gather"].contains(text("exchange")),
      precision: tables.problem.program.precision, attention: try format("attention") ?? .bf16)
  }

  private func step(
    _ program: ModelProgram, _ cost: CostModel
  ) throws(Diagnostics) -> Prediction {
    let mesh = try mesh()
    let drafts = try size("drafts") ?? 0
    let tables = try SearchTables(try problem(program, cost, mesh: mesh))
    let evaluator = PoolEvaluator(tables)
    let isPrefill = phase == .prefill
    let shape = try shape(isPrefill ? .prefill : .decode, mesh, tables, drafts: drafts)
    guard let pool = evaluator.sketch(shape) else {
      throw Diagnostics("case-file", "\(id): the mesh cannot split \(program.name)")
    }
    var estimator = evaluator.estimator(shape, pool)
    estimator.assumedBalancedness = try balancedness(
      experts: tables.experts, ranks: mesh.ep, slots: shape.slotsPerRank)
    let prompt = Double(tables.problem.promptLength)
    let group = Double(mesh.tp * mesh.pp)
    if isPrefill {
      // Where no step is stated, a large one: throughput hardly depends on it.
      let tokens = Double(try size("tokens") ?? 16_384 / mesh.tp) * group
      estimator.step = StepShape(prompts: tokens, length: prompt, read: prompt)
    } else {
      estimator.step = StepShape(
        sequences: Double(try needed("sequences")) * group, drafts: drafts,
        context: Double(tables.problem.decodeContext), promptTokens: 0, length: 1, read: 1)
    }
    guard let overlap = OverlapChoice(parsing: text("overlap")) else {
      throw Diagnostics(
        "case-file", "'\(text("overlap"))' of \(id) is not auto, none or micro-batches")
    }
    estimator.draftPasses = drafts
    // Engines that were measured give exchanges what DeepSeek's profiles show.
    let plan = estimator.overlapPlan(
      overlap, multiprocessors: [Contention().exchangeMultiprocessors])
    let estimate = estimator.poolEstimate(of: plan)
    let gained = isPrefill ? 1 : Double(text("gained")) ?? 1
    return Prediction(
      figure: estimate.throughput.scaled(by: gained), steps: [estimator.running(plan)],
      placesExperts: text("balance") != "off"
    ) { estimate.tokensPerDevice * gained / $0[0] }
  }

  /// How far an engine's own choice of batches and chunks may put it from the best one, 90 times out
  /// of 100: neither is published with the throughput.
  private static let schedulingSpread = 1.4

  /// The most that the devices make, over batches and chunks.
  private func aggregated(
    _ program: ModelProgram, _ cost: CostModel
  ) throws(Diagnostics) -> Prediction {
    let mesh = try mesh()
    var problem = try problem(program, cost, mesh: mesh)
    problem.space.drafts = [0]
    problem.skew = text("balance") == "even" ? .even : .typical
    problem.placesExperts = text("balance") != "off"
    problem.reservesWholeAnswers = text("reserve") == "whole"
    let requests = try size("requests")
    let most = min(try size("batch") ?? .max, requests.map { max($0 / mesh.dp, 1) } ?? .max)
    problem.space.sequences.removeAll { $0 > most }
    if most < .max { problem.space.sequences.append(most) }
    problem.space.sequences = Set(problem.space.sequences).sorted()
    if let tokens = try size("budget") { problem.space.mostTokens = tokens }
    // A whole prompt is a size of its own, beside those of the grid.
    problem.space.chunks = Set(problem.space.chunks + [problem.promptLength]).sorted()
    let tables = try SearchTables(problem)
    let evaluator = PoolEvaluator(tables)
    var best: PoolPoint?
    for isLowLatency in mesh.ep > 1 && !problem.gathersTokens ? [true, false] : [false] {
      var shape = try shape(.unified, mesh, tables, drafts: 0)
      shape.isLowLatency = isLowLatency
      var explorer = PoolExplorer(evaluator)
      explorer.explore(shape)
      var refinement = Refinement(tables: tables, evaluators: [evaluator])
      let fastest = refinement.least(explorer.points) { -$0.requestRate }
      if let fastest, best.map({ fastest.requestRate > $0.requestRate }) ?? true { best = fastest }
    }
    guard let best, let estimate = evaluator.estimate(best) else {
      throw Diagnostics("case-file", "\(id): nothing fits")
    }
    let outputs = Double(problem.outputLength) / Double(mesh.ranks)
    let lasting = requests.flatMap { evaluator.lasting(of: best, requests: $0) } ?? 1
    let rate = best.requestRate * outputs * lasting
    var figure = Figure(
      rate, unit: .perSecond, provenance: estimate.step.provenance, source: estimate.step.source)
    figure.lower = rate * estimate.step.value / estimate.step.upper
    figure.upper = rate * estimate.step.value / estimate.step.lower
    return Prediction(
      figure: figure.widened(by: Self.schedulingSpread), steps: evaluator.steps(of: best),
      placesExperts: problem.placesExperts
    ) { seconds in
      evaluator.unifiedPoint(best, plain: seconds[0], full: seconds[1]).requestRate * outputs
        * lasting
    }
  }
}

extension StepEstimator {
  /// The same step in a pool that runs it so.
  fileprivate func running(_ plan: OverlapPlan) -> StepEstimator {
    var estimator = self
    estimator.pool = pool.running(plan)
    return estimator
  }
}

extension PoolEvaluator {
  /// The steps of a unified pool's point, each in a pool that runs it in the fastest way: decoding
  /// alone, and beside a chunk of prompts.
  fileprivate func steps(of point: PoolPoint) -> [StepEstimator] {
    guard let pool = sketch(point.shape) else { return [] }
    var estimator = estimator(point.shape, pool)
    return [
      decodeStep(point.shape, point.sequences),
      mixedStep(point.shape, point.sequences, point.promptTokens),
    ].map { step in
      estimator.step = step
      return estimator.running(estimator.overlapPlan(seconds(point.shape, step)?.overlap ?? .auto))
    }
  }

  /// What a run of so many requests of one length reaches of the rate that it would keep up if it went
  /// on: sequences that begin together end together, and the last ones are fewer, in steps that
  /// hardly take less. Nil where all requests fit at once.
  fileprivate func lasting(of point: PoolPoint, requests: Int) -> Double? {
    let all = point.sequences * point.shape.mesh.dp
    let rest = requests % all
    if rest == 0 || requests < all { return nil }
    let few = max(rest / point.shape.mesh.dp, 1)
    guard let last = unifiedPoint(point.shape, sequences: few, chunk: point.promptTokens),
      last.requestRate > 0
    else { return nil }
    let seconds = Double(requests - rest) / point.requestRate + Double(rest) / last.requestRate
    return Double(requests) / seconds / point.requestRate
  }

  /// A unified pool's point if its steps take other times.
  fileprivate func unifiedPoint(_ point: PoolPoint, plain: Double, full: Double) -> PoolPoint {
    unifiedPoint(
      point.shape, sequences: point.sequences, chunk: point.promptTokens, plain: plain, full: full,
      overlap: point.overlap)
  }
}
