internal import Dispatch
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
  /// Whether bounds cut the search short. Without, every point of the space is worked out.
  public var isPruned: Bool

  /// Makes a search.
  public init(_ problem: SearchProblem, threads: Int = 2, isPruned: Bool = true) {
    self.problem = problem
    self.threads = max(threads, 1)
    self.isPruned = isPruned
  }

  /// One role and number of devices.
  private struct Task {
    var role: Pool.Role
    var devices: [Int]
    var variant: SearchTables.Variant
    /// Only pools with low-latency exchanges, or only others; both where nil.
    var isLowLatency: Bool?
  }

  /// What a task found.
  private struct Found {
    var points: [PoolPoint] = []
    var earliest: PoolPoint?
    var evaluations = 0
    var shapes = 0
  }

  /// Searches. `progress` hears from any thread how many of how many parts are done.
  public func run(
    progress: @Sendable (Int, Int) -> Void = { _, _ in }
  ) throws(Diagnostics) -> SearchResult {
    try problem.check()
    let tables = try SearchTables(problem)
    let (apart, unified) = (self.tasks(tables), unifiedTasks(tables))
    let count = apart.count + unified.count
    let found = work(apart, tables, rivals: Front()) { progress($0, count) }
    var rivals = Front()
    if problem.objective != .latency {
      for deployment in rank(apart, found, tables).front.map(\.1) {
        rivals.insert(
          deployment.decode, cost: deployment.timePerToken,
          gain: deployment.yield(problem.objective))
      }
    }
    let more = work(unified, tables, rivals: rivals) { progress(apart.count + $0, count) }
    return try assemble(apart + unified, found + more, tables)
  }

  /// Works on tasks with all threads.
  private func work(
    _ tasks: [Task], _ tables: SearchTables, rivals: Front, progress: @Sendable (Int) -> Void
  ) -> [Found] {
    if tasks.isEmpty { return [] }
    let results = Mutex<[Found]>(Array(repeating: Found(), count: tasks.count))
    let next = Atomic(0)
    let done = Atomic(0)
    let isPruned = isPruned
    let workers = min(threads, max(tasks.count, 1))
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
      let evaluator = PoolEvaluator(tables)
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        if index >= tasks.count { return }
        let task = tasks[index]
        var explorer = PoolExplorer(evaluator, isPruned: isPruned)
        explorer.rivals = rivals
        let shapes = task.devices.flatMap { devices in
          tables.shapes(task.role, devices: devices, variant: task.variant)
        }.filter { task.isLowLatency == nil || $0.isLowLatency == task.isLowLatency }
        for shape in shapes { explorer.explore(shape) }
        let found = Found(
          points: explorer.front.entries.map(\.point), earliest: explorer.earliest,
          evaluations: explorer.evaluations, shapes: shapes.count)
        results.withLock { $0[index] = found }
        progress(done.add(1, ordering: .relaxed).newValue)
      }
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
      [true, false].map {
        Task(role: .unified, devices: sizes, variant: variant, isLowLatency: $0)
      }
    }
  }

  private func assemble(
    _ tasks: [Task], _ found: [Found], _ tables: SearchTables
  ) throws(Diagnostics) -> SearchResult {
    let ranking = rank(tasks, found, tables)
    let earliest = zip(tasks, found).compactMap { task, found in
      task.role == .decode ? nil : found.earliest
    }.min { $0.timeToFirstToken < $1.timeToFirstToken }
    let fastest = zip(tasks, found).filter { $0.0.role != .prefill }.flatMap(\.1.points)
      .min { $0.timePerToken < $1.timePerToken }
    if ranking.front.isEmpty && fastest == nil && earliest == nil {
      throw nothingFits(tables, PoolEvaluator(tables))
    }
    return SearchResult(
      problem: problem, best: ranking.best, front: ranking.front.map(\.1), earliest: earliest,
      fastest: fastest, evaluations: found.reduce(0) { $0 + $1.evaluations },
      shapes: found.reduce(0) { $0 + $1.shapes }, tables: tables)
  }

  /// The deployments that the pools found make.
  private func rank(_ tasks: [Task], _ found: [Found], _ tables: SearchTables) -> Ranking {
    let evaluator = PoolEvaluator(tables)
    var ranking = Ranking(problem)
    for variant in tables.variants {
      func points(_ role: Pool.Role) -> [[PoolPoint]] {
        zip(tasks, found).filter { $0.0.role == role && $0.0.variant == variant }.map(\.1.points)
      }
      let (prefill, decode) = (points(.prefill), points(.decode))
      let builder = DeploymentBuilder(
        problem: problem,
        transferSeconds: transferSeconds(
          prefill.joined().first, decode.joined().first, evaluator))
      builder.forEach(prefill: prefill, decode: decode, unified: points(.unified)) {
        ranking.take($0)
      }
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

/// Keeps the best deployments and those that are not dominated.
struct Ranking {
  /// How many of the best are kept.
  static let count = 5

  /// What tells rows apart: the pools' meshes, and how prompts are read.
  private struct Kind: Hashable {
    var prefill: Mesh?
    var decode: Mesh
  }

  private let problem: SearchProblem
  private var byKind: [Kind: Deployment] = [:]
  /// Ascending by tokens a second for a user.
  private(set) var front: [(Double, Deployment)] = []

  init(_ problem: SearchProblem) { self.problem = problem }

  /// The best of each kind that keep both limits, the best first.
  var best: [Deployment] {
    let all = byKind.values.sorted { first, second in
      if first.isBetter(than: second, problem) { return true }
      if second.isBetter(than: first, problem) { return false }
      return Ranking.order(first) < Ranking.order(second)
    }
    return Array(all.prefix(Ranking.count))
  }

  /// A text that orders what is equally good, so that results do not depend on hashes.
  private static func order(_ deployment: Deployment) -> String {
    "\(deployment.prefill?.shape.mesh.description ?? "") \(deployment.decode.shape.mesh)"
  }

  mutating func take(_ deployment: Deployment) {
    if deployment.requestRate <= 0 { return }
    enter(deployment)
    if !deployment.keeps(limitsOf: problem) { return }
    let kind = Kind(prefill: deployment.prefill?.shape.mesh, decode: deployment.decode.shape.mesh)
    if let known = byKind[kind], !deployment.isBetter(than: known, problem) { return }
    byKind[kind] = deployment
  }

  /// Keeps the deployment on the front of tokens for a user against tokens for a device.
  private mutating func enter(_ deployment: Deployment) {
    let (user, device) = (deployment.tokensPerUser, deployment.yield(problem.objective))
    var (low, high) = (0, front.count)
    while low < high {
      let middle = (low + high) / 2
      if front[middle].0 < user { low = middle + 1 } else { high = middle }
    }
    // Those from `low` on are at least as fast for a user; the first of them has the most.
    if low < front.count && front[low].1.yield(problem.objective) >= device { return }
    var start = low
    while start > 0 && front[start - 1].1.yield(problem.objective) <= device { start -= 1 }
    var end = low
    while end < front.count && front[end].0 <= user { end += 1 }
    front.replaceSubrange(start..<max(end, low), with: [(user, deployment)])
  }
}
