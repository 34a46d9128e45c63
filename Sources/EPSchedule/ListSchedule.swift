/// A schedule for every body that has one: jobs in an order of priority, each as early as it can be.
struct ListSchedule {
  /// The order in which jobs of one resource follow each other, as starts at some period; nil where
  /// jobs wait for each other in a circle.
  ///
  /// One iteration is laid out without its neighbours, the job with the longest way to the end
  /// first; then iterations are pushed together as far as that order lets them.
  static func starts(_ body: LoopBody) -> [Int]? {
    guard let order = body.topologicalOrder else { return nil }
    var tail = Array(repeating: 0, count: body.jobs.count)
    var before = Array(repeating: [LoopBody.Dependency](), count: body.jobs.count)
    var after = before
    for dependency in body.dependencies where dependency.distance == 0 {
      before[dependency.to].append(dependency)
      after[dependency.from].append(dependency)
    }
    for job in order.reversed() {
      tail[job] = after[job].reduce(body.jobs[job].duration) { max($0, $1.delay + tail[$1.to]) }
    }
    var starts = Array(repeating: 0, count: body.jobs.count)
    var waiting = before.map(\.count)
    var free = Array(repeating: 0, count: body.resources)
    var ready = body.jobs.indices.filter { waiting[$0] == 0 }
    while !ready.isEmpty {
      func earliest(_ job: Int) -> Int {
        before[job].reduce(free[body.jobs[job].resource]) {
          max($0, starts[$1.from] + $1.delay)
        }
      }
      guard
        let next = ready.indices.min(by: {
          (earliest(ready[$0]), -tail[ready[$0]], ready[$0])
            < (earliest(ready[$1]), -tail[ready[$1]], ready[$1])
        })
      else { break }
      let job = ready.remove(at: next)
      starts[job] = earliest(job)
      free[body.jobs[job].resource] = starts[job] + body.jobs[job].duration
      for dependency in after[job] {
        waiting[dependency.to] -= 1
        if waiting[dependency.to] == 0 { ready.append(dependency.to) }
      }
    }
    return starts
  }

  /// The shortest period for jobs that follow each other as they do in `starts` at `period`, which
  /// is a schedule, and starts at it.
  static func tightened(
    _ body: LoopBody, starts: [Int], period: Int, atLeast least: Int
  ) -> (period: Int, starts: [Int]) {
    guard let found = shortest(body, inOrderOf: starts, period: period, atLeast: least),
      found.period <= period
    else { return (period, starts) }
    return found
  }

  /// The shortest period for jobs that follow each other as they do in `starts` at `period`, whether
  /// those are a schedule or not; nil where the order meets no dependencies at any period.
  static func shortest(
    _ body: LoopBody, inOrderOf starts: [Int], period: Int, atLeast least: Int
  ) -> (period: Int, starts: [Int])? {
    var arcs = PeriodArcs(body)
    for resource in 0..<body.resources {
      let own = body.jobs.indices.filter {
        body.jobs[$0].resource == resource && body.jobs[$0].duration > 0
      }.sorted {
        (starts[$0].phase(period), $0) < (starts[$1].phase(period), $1)
      }
      if own.count < 2 { continue }
      for (index, job) in own.enumerated() {
        let next = own[(index + 1) % own.count]
        let apart = (starts[next] - starts[job]).floorDivided(by: period)
        arcs.arcs.append(
          Arc(from: job, to: next, delay: body.jobs[job].duration, distance: -apart))
      }
    }
    return arcs.smallestPeriod(atLeast: least)
  }
}

extension Int {
  /// The rest of a division by a period, not negative.
  func phase(_ period: Int) -> Int { self - floorDivided(by: period) * period }
}
