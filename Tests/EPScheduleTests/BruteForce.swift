import EPSchedule

/// The shortest period of a small body, by trying every phase of every job.
///
/// Shares nothing with the solver: a schedule is phases within the period, which resources decide,
/// and whole iterations, which dependencies decide.
struct BruteForce {
  let body: LoopBody

  /// The shortest period up to `most`.
  func shortestPeriod(atMost most: Int) -> Int? {
    (1...max(most, 1)).first { isPossible($0) }
  }

  private func isPossible(_ period: Int) -> Bool {
    if body.jobs.contains(where: { $0.duration > period }) { return false }
    var phases = Array(repeating: 0, count: body.jobs.count)
    var taken = Array(repeating: Array(repeating: false, count: period), count: body.resources)
    return place(0, period, &phases, &taken)
  }

  private func place(
    _ job: Int, _ period: Int, _ phases: inout [Int], _ taken: inout [[Bool]]
  ) -> Bool {
    if job == body.jobs.count { return true }
    let (duration, resource) = (body.jobs[job].duration, body.jobs[job].resource)
    // The whole schedule can be turned so that job 0 starts at 0.
    for phase in 0..<(job == 0 ? 1 : period) {
      let ticks = (0..<duration).map { (phase + $0) % period }
      if ticks.contains(where: { taken[resource][$0] }) { continue }
      for tick in ticks { taken[resource][tick] = true }
      phases[job] = phase
      if hasIterations(job + 1, period, phases), place(job + 1, period, &phases, &taken) {
        return true
      }
      for tick in ticks { taken[resource][tick] = false }
    }
    return false
  }

  /// Whether whole iterations can be given to the first `count` jobs so that dependencies among them
  /// are met.
  private func hasIterations(_ count: Int, _ period: Int, _ phases: [Int]) -> Bool {
    var iteration = Array(repeating: 0, count: count)
    for _ in 0...count {
      var hasChanged = false
      for dependency in body.dependencies where dependency.from < count && dependency.to < count {
        let late = phases[dependency.from] + dependency.delay - phases[dependency.to]
        let whole = late > 0 ? (late + period - 1) / period : -(-late / period)
        let least = iteration[dependency.from] + whole - dependency.distance
        if least > iteration[dependency.to] {
          iteration[dependency.to] = least
          hasChanged = true
        }
      }
      if !hasChanged { return true }
    }
    return false
  }
}
