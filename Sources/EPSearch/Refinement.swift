internal import Dispatch
internal import EPCost
internal import EPIR
internal import EPPlan
internal import Synchronization

/// Works out points exactly that a search has bounded.
struct Refinement {
  let tables: SearchTables
  /// One for each thread.
  let evaluators: [PoolEvaluator]
  private var exact: [PoolPoint: PoolPoint] = [:]
  /// Points that were worked out before anybody asked.
  private var guessed: [PoolPoint: PoolPoint] = [:]

  init(tables: SearchTables, evaluators: [PoolEvaluator]) {
    self.tables = tables
    self.evaluators = evaluators
  }

  /// Hands out the numbers of some variants of the model, with an evaluator that no other thread has
  /// meanwhile; of one variant to the same one as long as all have work, since it remembers what
  /// those share.
  func forEach(
    _ variants: [SearchTables.Variant], _ body: @Sendable (Int, PoolEvaluator) -> Void
  ) {
    let open = Mutex(Array(variants.indices))
    let workers = min(evaluators.count, max(variants.count, 1))
    let owners = variants.map { (tables.variants.firstIndex(of: $0) ?? 0) % workers }
    // One iteration has an evaluator to itself.
    nonisolated(unsafe) let own = evaluators
    DispatchQueue.concurrentPerform(iterations: workers) { worker in
      let evaluator = unsafe own[worker]
      while let index = open.withLock({ rest in
        let own = rest.firstIndex { owners[$0] == worker } ?? rest.indices.first
        return own.map { rest.remove(at: $0) }
      }) {
        body(index, evaluator)
      }
    }
  }

  /// Works out points with all threads. So is a guess at what will be asked next, which counts as
  /// not known until then: what is known does not depend on how many threads there are.
  mutating func work(out points: [PoolPoint], ahead guess: PoolPoint? = nil) {
    let open = (points + [guess].compactMap { $0 }).filter { guessed[$0] == nil }
    let results = Mutex<[PoolPoint?]>(Array(repeating: nil, count: open.count))
    forEach(open.map { tables.variant($0.shape) }) { index, evaluator in
      let made = evaluator.again(open[index])
      results.withLock { $0[index] = made }
    }
    for (point, made) in zip(open, results.withLock { $0 }) { guessed[point] = made }
    for point in points { exact[point] = guessed.removeValue(forKey: point) ?? exact[point] }
  }

  /// How many points have been worked out.
  var count: Int { exact.count }

  /// The point itself, if it has been worked out.
  subscript(point: PoolPoint) -> PoolPoint { point.isExact ? point : exact[point] ?? point }

  /// The points, exact where they are known so, less those that an exact one is as good as.
  func front(_ points: [PoolPoint], _ problem: SearchProblem) -> [PoolPoint] {
    let now = points.map { self[$0] }
    var front = Front()
    for point in now where point.isExact {
      front.insert(point, cost: point.cost(problem), gain: point.gain(problem))
    }
    let kept = Set(front.entries.map(\.point))
    return now.filter {
      $0.isExact
        ? kept.contains($0) : !front.dominates(cost: $0.cost(problem), gain: $0.gain(problem))
    }
  }

  /// The points that are only bounded, and may so be as good as this exact one in both respects.
  func doubts(of point: PoolPoint, among points: [PoolPoint], _ problem: SearchProblem)
    -> [PoolPoint]
  {
    let (cost, gain) = (point.cost(problem), point.gain(problem))
    return points.filter {
      !$0.isExact && $0.cost(problem) <= cost && $0.gain(problem) >= gain
    }
  }

  /// The point that is exactly the least, of some that are bounded.
  mutating func least(
    _ points: [PoolPoint], by value: (PoolPoint) -> Double
  ) -> PoolPoint? {
    var best: PoolPoint?
    for point in points.sorted(by: { value($0) < value($1) }) {
      if let best, value(point) >= value(best) { break }
      if !point.isExact && exact[point] == nil { work(out: [point]) }
      let now = self[point]
      if best.map({ value(now) < value($0) }) ?? true { best = now }
    }
    return best
  }
}

extension PoolPoint {
  /// Whether its steps are what they take, rather than what they take at least.
  var isExact: Bool { overlap != .auto }

  /// What is small of it when it is good.
  func cost(_ problem: SearchProblem) -> Double {
    switch shape.role {
    case .decode: timePerToken
    case .prefill: timeToFirstToken
    case .unified: problem.cost(ofUnified: timePerToken, readingTime)
    }
  }

  /// What is large of it when it is good: requests a second; of unified pools, which stand alone,
  /// what those are worth.
  func gain(_ problem: SearchProblem) -> Double {
    shape.role == .unified ? requestRate * problem.yield(of: shape) : requestRate
  }
}

extension SearchProblem {
  /// What a request a second of one instance is worth: unified pools of all sizes compete, by tokens
  /// a second and device of the cluster, or of those in use.
  func yield(of shape: PoolShape) -> Double {
    let instances = cluster.devices / shape.mesh.ranks
    let counted = objective == .cost ? instances * shape.mesh.ranks : cluster.devices
    return Double(instances * outputLength) / Double(max(counted, 1))
  }

  /// What unified pools are compared by, beside what they deliver: the time of a token, or that of
  /// a whole answer if that is sought.
  func cost(ofUnified timePerToken: Double, _ readingTime: Double) -> Double {
    objective == .latency
      ? readingTime + timePerToken * Double(outputLength - 1) : timePerToken
  }

  /// The most that a point's cost may be.
  func limit(of role: Pool.Role) -> Double {
    switch role {
    case .decode: timePerToken
    case .prefill: timeToFirstToken
    case .unified: cost(ofUnified: timePerToken, timeToFirstToken)
    }
  }
}
