public import EPCompiler
public import EPCost
public import EPIR
internal import EPModel
internal import EPPlacement
public import EPPlan

/// What a search found.
public struct SearchResult: Sendable {
  /// The most rows that there are.
  public static let mostRows = Ranking.count

  /// What was asked.
  public var problem: SearchProblem
  /// The best deployments that keep the limits, one for each mesh of the pool that makes tokens, the best
  /// first.
  public var best: [Deployment]
  /// Those that no other beats both for a user and for a device, slow ones for users first; the first
  /// token in time, tokens maybe not.
  public var front: [Deployment]
  /// The pool whose first token comes earliest; looked for where nothing keeps the limits.
  public var earliest: PoolPoint?
  /// The pool whose tokens come fastest; likewise.
  public var fastest: PoolPoint?
  /// Points that were worked out.
  public var evaluations: Int
  /// How many of them were scheduled: those that may be in the rows or on the front.
  public var scheduled: Int
  /// Pools without sizes that were looked at.
  public var shapes: Int
  /// What the search prepared.
  let tables: SearchTables
  /// Threads that work at a time.
  let threads: Int

  /// What to compile for a deployment: one instance of each pool.
  public func request(for deployment: Deployment) -> CompileRequest {
    let decode = deployment.decode
    var request = SearchTables.request(
      problem, drafts: decode.shape.drafts, precision: decode.shape.precision)
    let points = [deployment.prefill, decode].compactMap { $0 }
    request.pools = points.map { point in
      var pool = SearchTables.request(
        point.shape, sequences: point.sequences, promptTokens: point.promptTokens)
      pool.gathersTokens = problem.gathersTokens
      pool.overlap = point.overlap
      pool.balancedness = point.balancedness
      // Layers agree in the slots of a rank; the redundant ones follow from those.
      if point.shape.slotsPerRank > 0 {
        pool.redundantExperts =
          point.shape.slotsPerRank * point.shape.mesh.ep
          - SearchTables.experts(of: problem.program)
      }
      return pool
    }
    request.cluster = Cluster(
      problem.cluster.hardware, devices: points.reduce(0) { $0 + $1.devices })
    request.cluster?.usableFraction = problem.cluster.usableFraction
    if case .measured(let loads) = problem.skew.loads { request.loads = .measured(loads) }
    return request
  }

  /// Compiles and verifies one instance of each pool of a deployment.
  public func plan(for deployment: Deployment) throws(Diagnostics) -> Plan {
    var compilation = Compilation(problem.program, request(for: deployment))
    if let prefill = deployment.prefill {
      compilation.decisions.append(
        "one of \(deployment.prefillInstances) prefill instances of \(prefill.devices) devices and "
          + "one of \(deployment.decodeInstances) decode instances of "
          + "\(deployment.decode.devices), out of \(deployment.devices) devices")
    } else {
      compilation.decisions.append(
        "one of \(deployment.decodeInstances) instances of \(deployment.decode.devices) devices, "
          + "out of \(deployment.devices)")
    }
    return try Compiler.compile(compilation)
  }

  /// The estimates of a deployment's pools, with intervals and provenance.
  public func estimates(of deployment: Deployment) -> [PoolEstimate] {
    let evaluator = PoolEvaluator(tables)
    return [deployment.prefill, deployment.decode].compactMap { $0 }.compactMap {
      evaluator.estimate($0)
    }
  }

  /// The deployment's figures were the problem that of the evaluator: the same pools and instances.
  /// Nil where they cannot be worked out.
  func reconsidered(_ deployment: Deployment, with evaluator: PoolEvaluator) -> Deployment? {
    let other = evaluator.problem
    guard let decode = evaluator.again(deployment.decode) else { return nil }
    var unlimited = other
    unlimited.timeToFirstToken = .infinity
    let builder = DeploymentBuilder(
      problem: unlimited,
      transferSeconds: deployment.transferSeconds * problem.cluster.hardware.scaleOutBandwidth
        / other.cost.hardware.scaleOutBandwidth)
    guard let prefill = deployment.prefill else {
      return builder.deployment(decode, deployment.decodeInstances)
    }
    guard let again = evaluator.again(prefill) else { return nil }
    return builder.deployment(
      again, deployment.prefillInstances, decode, deployment.decodeInstances)
  }
}

extension PoolEvaluator {
  /// The same sizes, worked out anew.
  func again(_ point: PoolPoint) -> PoolPoint? {
    switch point.shape.role {
    case .decode: return decodePoint(point.shape, sequences: point.sequences)
    case .prefill: return prefillPoint(point.shape, tokens: point.promptTokens)
    case .unified:
      return unifiedPoint(point.shape, sequences: point.sequences, chunk: point.promptTokens)
    }
  }

  /// The step of a point as an estimate with intervals; of a unified pool the one with prompts.
  func estimate(_ point: PoolPoint) -> PoolEstimate? {
    guard var pool = sketch(point.shape) else { return nil }
    let load = load(point.shape, sequences: point.sequences, promptTokens: point.promptTokens)
    pool.load = load
    pool.memory = [memory(point.shape, load)].compactMap { $0 }
    var estimator = estimator(point.shape, pool)
    let context = Double(problem.decodeContext)
    let (length, read) = (Double(problem.promptLength), problem.tokensRead)
    estimator.step =
      point.shape.role == .prefill
      ? StepShape(prompts: Double(point.promptTokens), length: length, read: read)
      : StepShape(
        sequences: Double(point.sequences), drafts: point.shape.drafts, context: context,
        promptTokens: Double(point.promptTokens), length: length, read: read)
    return estimator.poolEstimate(
      overlap: point.overlap, drafts: point.shape.drafts, acceptance: problem.acceptance,
      dollarsPerHour: problem.dollarsPerHour)
  }
}
