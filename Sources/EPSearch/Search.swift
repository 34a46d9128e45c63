internal import EPCost
public import EPIR
internal import EPModel
internal import EPPlan
internal import Synchronization

/// Finds the best deployments of a model under limits on latency.
public struct Search: Sendable {
  /// What is to be deployed.
  public var problem: SearchProblem
  /// Threads that work at a time; the result does not depend on it.
  public var threads: Int

  /// Makes a search.
  public init(_ problem: SearchProblem, threads: Int = 2) {
    self.problem = problem
    self.threads = max(threads, 1)
  }

  /// One role and number of devices.
  private struct Task {
    var role: Pool.Role
    var devices: [Int]
    var variant: SearchTables.Variant
    /// Only pools with low-latency exchanges, or only others; both where nil.
    var isLowLatency: Bool?

    /// Whether its points may take the place of that one.
    func rivals(_ point: PoolPoint, tables: SearchTables) -> Bool {
      if role != point.shape.role { return false }
      return role == .unified
        || devices == [point.devices] && variant == tables.variant(point.shape)
    }
  }

  /// What separate pools do, which unified ones are compared with.
  private struct Rivals {
    var front = Front()
    var floor = 0.0
  }

  /// What a task found.
  private struct Found {
    var points: [PoolPoint] = []
    var earliest: [PoolPoint] = []
    var evaluations = 0
    var shapes = 0
  }

  /// Searches. `progress` hears from any thread how many of how many parts are done.
  public func run(
    progress: @Sendable (Int, Int) -> Void = { _, _ in }
  ) throws(Diagnostics) -> SearchResult {
    try problem.check()
    let tables = try SearchTables(problem)
    // Each thread's own: kernels and calls recur.
    let evaluators = (0..<threads).map { _ in PoolEvaluator(tables) }
    var refinement = Refinement(tables: tables, evaluators: evaluators)
    return try run(tables, &refinement, progress: progress)
  }

  private func run(
    _ tables: SearchTables, _ refinement: inout Refinement,
    progress: @Sendable (Int, Int) -> Void
  ) throws(Diagnostics) -> SearchResult {
    let (apart, unified) = (self.tasks(tables), unifiedTasks(tables))
    let count = apart.count + unified.count
    var found = work(apart, refinement, Rivals()) { progress($0, count) }
    var rivals = Rivals()
    if problem.objective != .latency {
      let ranking = refine(apart, &found, &refinement)
      for deployment in ranking.front.map(\.1) {
        rivals.front.insert(
          deployment.decode, cost: deployment.timePerToken,
          gain: deployment.yield(problem.objective))
      }
      if let last = ranking.best.last, ranking.best.count == Ranking.count {
        rivals.floor = last.yield(problem.objective)
      }
    }
    found += work(unified, refinement, rivals) {
      progress(apart.count + $0, count)
    }
    let tasks = apart + unified
    let ranking = refine(tasks, &found, &refinement)
    var (earliest, fastest): (PoolPoint?, PoolPoint?)
    if ranking.best.isEmpty {
      earliest = refinement.least(found.flatMap(\.earliest), by: \.timeToFirstToken)
      fastest = refinement.least(
        zip(tasks, found).filter { $0.0.role != .prefill }.flatMap(\.1.points), by: \.timePerToken)
    }
    if ranking.front.isEmpty && fastest == nil && earliest == nil {
      throw nothingFits(tables, PoolEvaluator(tables))
    }
    let prefill = zip(tasks, found).filter { $0.0.role == .prefill }.flatMap(\.1.points)
    let best = refinement.earliest(ranking.best, prefill: prefill, problem)
    // The front has many rows: of pools that are known exactly by now.
    let known = prefill.map { refinement[$0] }.filter(\.isExact)
    let front = ranking.front.map { refinement.earliest($0.1, among: known, problem) }
    return SearchResult(
      problem: problem, best: best, front: front, earliest: earliest,
      fastest: fastest, evaluations: found.reduce(0) { $0 + $1.evaluations },
      scheduled: refinement.count,
      shapes: found.reduce(0) { $0 + $1.shapes }, tables: tables, threads: threads)
  }

  /// Works on tasks with all threads.
  private func work(
    _ tasks: [Task], _ refinement: Refinement, _ rivals: Rivals,
    progress: @Sendable (Int) -> Void
  ) -> [Found] {
    if tasks.isEmpty { return [] }
    let results = Mutex<[Found]>(Array(repeating: Found(), count: tasks.count))
    let done = Atomic(0)
    refinement.forEach(tasks.map(\.variant)) { index, evaluator in
      let task = tasks[index]
      var explorer = PoolExplorer(evaluator)
      (explorer.rivals, explorer.floor) = (rivals.front, rivals.floor)
      var count = 0
      for devices in task.devices {
        let shapes = evaluator.tables.shapes(task.role, devices: devices, variant: task.variant)
          .filter { task.isLowLatency == nil || $0.isLowLatency == task.isLowLatency }
        for shape in shapes { explorer.explore(shape) }
        count += shapes.count
        evaluator.forgetPools()
      }
      let found = Found(
        points: explorer.points, earliest: explorer.earliestPoints,
        evaluations: explorer.evaluations, shapes: count)
      results.withLock { $0[index] = found }
      progress(done.add(1, ordering: .relaxed).newValue)
    }
    return results.withLock { $0 }
  }

  /// The parts of the space that are searched apart. The long ones come first.
  private func tasks(_ tables: SearchTables) -> [Task] {
    if problem.disaggregation == .never { return [] }
    let sizes = problem.space.instanceSizes(of: problem.cluster).reversed()
    return sizes.flatMap { size in
      [Pool.Role.decode, .prefill].flatMap { role in
        tables.variants.map { Task(role: role, devices: [size], variant: $0) }
      }
    }
  }

  private func unifiedTasks(_ tables: SearchTables) -> [Task] {
    if problem.disaggregation == .always { return [] }
    let sizes = Array(problem.space.instanceSizes(of: problem.cluster).reversed())
    return tables.variants.flatMap { variant in
      [true, false].flatMap { low in
        sizes.map { Task(role: .unified, devices: [$0], variant: variant, isLowLatency: low) }
      }
    }
  }

  /// Ranks what was found, and works out exactly what is ranked best, until all of that is exact.
  ///
  /// A point that is not exact stands there as good as it may be at best, so what it does not make
  /// the best with that, it does not make at all.
  private func refine(
    _ tasks: [Task], _ found: inout [Found], _ refinement: inout Refinement
  ) -> Ranking {
    while true {
      let ranking = rank(tasks, found, refinement)
      var open: [PoolPoint] = []
      var seen: Set<PoolPoint> = []
      for deployment in ranking.best + ranking.front.map(\.1) {
        for point in [deployment.prefill, deployment.decode].compactMap({ $0 }) {
          var asked = [point]
          if point.isExact {
            // What betters it may be among what is not worked out.
            asked = zip(tasks, found).filter { $0.0.rivals(point, tables: refinement.tables) }
              .flatMap { refinement.doubts(of: point, among: $0.1.points, problem) }
          }
          open += asked.filter { !$0.isExact && seen.insert($0).inserted }
        }
      }
      if open.isEmpty { return ranking }
      refinement.work(out: open)
      for index in found.indices
      where tasks[index].role != .unified
        && open.contains(where: { tasks[index].rivals($0, tables: refinement.tables) })
      {
        found[index].points = refinement.front(found[index].points, problem)
      }
      // Unified pools of all kinds compete.
      let unified = found.indices.filter { tasks[$0].role == .unified }
      let kept = Set(refinement.front(unified.flatMap { found[$0].points }, problem))
      for index in unified {
        found[index].points = found[index].points.map { refinement[$0] }.filter(kept.contains)
      }
    }
  }

  /// The deployments that the pools found make.
  private func rank(_ tasks: [Task], _ found: [Found], _ refinement: Refinement) -> Ranking {
    var ranking = Ranking(problem)
    guard let evaluator = refinement.evaluators.first else { return ranking }
    for variant in refinement.tables.variants {
      func points(_ role: Pool.Role) -> [[PoolPoint]] {
        zip(tasks, found).filter { $0.0.role == role && $0.0.variant == variant }.map(\.1.points)
      }
      let (prefill, decode) = (points(.prefill), points(.decode))
      let builder = DeploymentBuilder(
        problem: problem,
        transferSeconds: transferSeconds(
          prefill.joined().first, decode.joined().first, evaluator))
      builder.forEach(
        prefill: prefill, decode: decode, unified: points(.unified), rank: &ranking)
    }
    return ranking
  }

  /// Seconds that a prompt's cache takes over one link. The bytes depend on the model alone.
  private func transferSeconds(
    _ prefill: PoolPoint?, _ decode: PoolPoint?, _ evaluator: PoolEvaluator
  ) -> Double {
    guard let prefill, let decode, let from = evaluator.sketch(prefill.shape),
      let to = evaluator.sketch(decode.shape)
    else { return 0 }
    return problem.cost.time(
      of: Handover.make(from: 0, to: 1, in: [from, to]), context: problem.promptLength
    ).value
  }

  private func nothingFits(_ tables: SearchTables, _ evaluator: PoolEvaluator) -> Diagnostics {
    let devices = problem.cluster.devices
    var least: (bytes: Int, mesh: String)?
    for role in [Pool.Role.decode, .unified] {
      for shape in tables.variants.flatMap({
        tables.shapes(role, devices: devices, variant: $0)
      }) {
        let load = evaluator.load(shape, sequences: 1, promptTokens: role == .decode ? 0 : 16)
        guard let table = evaluator.memory(shape, load) else { continue }
        if least.map({ table.total < $0.bytes }) ?? true {
          least = (table.total, shape.mesh.description)
        }
      }
    }
    let usable = gibibytes(Double(tables.usableBytes))
    guard let least else {
      return Diagnostics(
        "search-mesh", "\(problem.program.name) cannot be split over \(devices) devices")
    }
    return Diagnostics(
      "search-memory",
      "\(problem.program.name) does not fit \(problem.cluster.name): with \(least.mesh) and one "
        + "sequence a device would hold \(gibibytes(Double(least.bytes))) of \(usable) usable; take "
        + "more devices or fewer bits a weight ('--weights')")
  }
}

/// Bytes for people.
func gibibytes(_ bytes: Double) -> String { "\((bytes / Double(1 << 30)).text(1)) GiB" }
