extension LoopBody {
  /// The body with the delays that follow from jobs of one iteration sharing a resource; it has the
  /// same schedules.
  ///
  /// Between two jobs of a micro-batch of which one waits for the other, however indirectly, lie the
  /// jobs that wait for the first and that the second waits for. Those of one resource run one after
  /// the other. So of every set of them the second job starts no sooner after the first than the
  /// least time to one of the set, what the set takes, and the least time from one of it: the bound of
  /// a machine with heads and tails (Carlier, "The one-machine sequencing problem", 1982).
  var withImpliedDelays: LoopBody {
    var members: [Int: [Int]] = [:]
    var batches: [Int] = []
    for (job, made) in jobs.enumerated() {
      if members[made.batch] == nil { batches.append(made.batch) }
      members[made.batch, default: []].append(job)
    }
    var made = self
    // Micro-batches are mostly alike.
    var last: (part: LoopBody, implied: [Dependency])?
    for batch in batches {
      let own = members[batch] ?? []
      let part = self.part(own)
      let implied = last?.part == part ? last?.implied ?? [] : ImpliedDelays.of(part)
      last = (part, implied)
      for dependency in implied {
        made.add(
          Dependency(
            from: own[dependency.from], to: own[dependency.to], delay: dependency.delay))
      }
    }
    return made
  }

  /// The jobs given, with what they wait for among themselves in one iteration.
  private func part(_ own: [Int]) -> LoopBody {
    var part = LoopBody(resources: resources)
    var place: [Int: Int] = [:]
    for job in own {
      place[job] = part.add(Job(duration: jobs[job].duration, resource: jobs[job].resource))
    }
    for dependency in dependencies where dependency.distance == 0 {
      guard let from = place[dependency.from], let to = place[dependency.to] else { continue }
      part.add(Dependency(from: from, to: to, delay: dependency.delay))
    }
    return part
  }
}

/// Finds the delays of `LoopBody.withImpliedDelays` for one micro-batch.
private struct ImpliedDelays {
  private let body: LoopBody
  /// By job of a topological order: how much later another one starts at least; -1 where it does not
  /// wait.
  private var least: [[Int]]

  /// The most jobs that are looked at: pairs of them cost as much as there are.
  private static let mostJobs = 128

  static func of(_ body: LoopBody) -> [LoopBody.Dependency] {
    guard body.jobs.count <= mostJobs, let order = body.topologicalOrder else { return [] }
    var found: [LoopBody.Dependency] = []
    var delays = ImpliedDelays(body)
    delays.find(order, &found)
    return found
  }

  private init(_ body: LoopBody) {
    self.body = body
    least = Array(
      repeating: Array(repeating: -1, count: body.jobs.count), count: body.jobs.count)
  }

  private mutating func find(_ order: [Int], _ found: inout [LoopBody.Dependency]) {
    var before = Array(repeating: [LoopBody.Dependency](), count: body.jobs.count)
    var forks = Array(repeating: 0, count: body.jobs.count)
    for dependency in body.dependencies {
      before[dependency.to].append(dependency)
      forks[dependency.from] += 1
    }
    for (place, from) in order.enumerated().reversed() {
      least[from][from] = 0
      var behind = [from]
      for to in order.dropFirst(place + 1) {
        var delay = -1
        var ways = 0
        for dependency in before[to] where least[from][dependency.from] >= 0 {
          delay = max(delay, least[from][dependency.from] + dependency.delay)
          ways += 1
        }
        if ways == 0 { continue }
        // With one way in or out the neighbour there has said it already.
        if ways > 1 && forks[from] > 1 {
          for resource in 0..<body.resources {
            let serial = serialised(behind, from, to, resource)
            if serial > delay {
              delay = serial
              found.append(LoopBody.Dependency(from: from, to: to, delay: delay))
            }
          }
        }
        least[from][to] = delay
        behind.append(to)
      }
    }
  }

  /// How much later than `from` the jobs of a resource between the two let `to` start.
  private func serialised(_ behind: [Int], _ from: Int, _ to: Int, _ resource: Int) -> Int {
    var between: [(head: Int, duration: Int, tail: Int)] = []
    for job in behind where body.jobs[job].resource == resource && least[job][to] >= 0 {
      let duration = body.jobs[job].duration
      if duration > 0 { between.append((least[from][job], duration, least[job][to] - duration)) }
    }
    if between.count < 2 { return -1 }
    between.sort { $0.head < $1.head }
    var most = -1
    for tail in Set(between.map(\.tail)) {
      var end = 0
      for job in between where job.tail >= tail { end = max(end, job.head) + job.duration }
      most = max(most, end + tail)
    }
    return most
  }
}
