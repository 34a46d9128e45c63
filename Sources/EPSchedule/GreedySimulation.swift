/// Schedules that a loop falls into when every resource always takes the next job it can: what an
/// engine does whose streams run freely.
struct GreedySimulation {
  /// Which of the jobs that could start at the same time does.
  enum Rule: CaseIterable {
    /// The one that has been ready longest.
    case longestReady
    /// The one with the longest way to the end of its iteration.
    case longestTail
    /// The one of the earliest iteration, and of the lowest number there.
    case inOrder
  }

  private static let iterations = 12

  /// The schedule that the loop has fallen into after some iterations, or nil where it has not
  /// fallen into any.
  static func run(_ body: LoopBody, _ rule: Rule) -> (period: Int, starts: [Int])? {
    guard let order = body.topologicalOrder, !body.jobs.isEmpty else { return nil }
    let count = body.jobs.count
    var tail = Array(repeating: 0, count: count)
    var after = Array(repeating: [LoopBody.Dependency](), count: count)
    for dependency in body.dependencies { after[dependency.from].append(dependency) }
    for job in order.reversed() {
      tail[job] = after[job].reduce(body.jobs[job].duration) {
        $1.distance == 0 ? max($0, $1.delay + tail[$1.to]) : $0
      }
    }
    var waiting = Array(repeating: 0, count: count * iterations)
    for dependency in body.dependencies {
      for iteration in dependency.distance..<max(iterations, dependency.distance) {
        waiting[iteration * count + dependency.to] += 1
      }
    }
    var ready = Array(repeating: 0, count: count * iterations)
    var starts = ready
    var free = Array(repeating: 0, count: body.resources)
    var open = waiting.indices.filter { waiting[$0] == 0 }
    func key(_ item: Int) -> (Int, Int, Int) {
      let start = max(ready[item], free[body.jobs[item % count].resource])
      switch rule {
      case .longestReady: return (start, ready[item], item)
      case .longestTail: return (start, item / count, -tail[item % count])
      case .inOrder: return (start, item, 0)
      }
    }
    while let place = open.indices.min(by: { key(open[$0]) < key(open[$1]) }) {
      let item = open.remove(at: place)
      let job = body.jobs[item % count]
      let start = max(ready[item], free[job.resource])
      starts[item] = start
      if job.duration > 0 { free[job.resource] = start + job.duration }
      for dependency in after[item % count] {
        let later = (item / count + dependency.distance) * count + dependency.to
        if later >= waiting.count { continue }
        ready[later] = max(ready[later], start + dependency.delay)
        waiting[later] -= 1
        if waiting[later] == 0 { open.append(later) }
      }
    }
    // Iterations from the middle: the last ones have nobody behind them.
    let middle = iterations / 2
    let own = Array(starts[(middle * count)..<((middle + 1) * count)])
    let next = starts[((middle + 1) * count)..<((middle + 2) * count)]
    let period = zip(own, next).reduce(1) { max($0, $1.1 - $1.0) }
    let first = own.min() ?? 0
    let found = ModuloSchedule(
      period: period, starts: own.map { $0 - first },
      bounds: PeriodBounds(resources: [], recurrence: 0), lowerBound: 0)
    return found.problem(for: body) == nil ? (period, found.starts) : nil
  }
}
