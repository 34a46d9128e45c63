/// A body whose jobs are joined to longer ones, and the way back.
///
/// Jobs of a micro-batch on one resource that wait for the same jobs of other resources, and that the
/// same ones wait for, can run one after the other without anything being lost but the chance to run
/// another micro-batch's job between them. A layer of thirty kernels becomes four or five jobs.
struct Grouping {
  /// The joined jobs.
  private(set) var body: LoopBody
  /// For each job, the joined one it is in.
  private(set) var group: [Int]
  /// For each job, when it starts in it.
  private(set) var offset: [Int]

  /// The body as it is.
  init(_ body: LoopBody) {
    self.body = body
    group = Array(body.jobs.indices)
    offset = Array(repeating: 0, count: body.jobs.count)
  }

  /// Joins what belongs together, each lot in at most `pieces` about equal parts; nil where the
  /// body's jobs wait for each other in a circle.
  init?(_ body: LoopBody, pieces: Int) {
    guard let lots = Grouping.lots(of: body) else { return nil }
    self.body = LoopBody(resources: body.resources)
    group = Array(repeating: 0, count: body.jobs.count)
    offset = Array(repeating: 0, count: body.jobs.count)
    for lot in lots {
      var before = -1
      for piece in Grouping.cut(lot, into: pieces, of: body) {
        var duration = 0
        for job in piece {
          group[job] = self.body.jobs.count
          offset[job] = duration
          duration += body.jobs[job].duration
        }
        let own = self.body.add(
          LoopBody.Job(
            duration: duration, resource: body.jobs[lot[0]].resource,
            batch: body.jobs[lot[0]].batch))
        if before >= 0 { self.body.add(own, after: before) }
        before = own
      }
    }
    var seen: Set<LoopBody.Dependency> = []
    for dependency in body.dependencies {
      let (from, to) = (group[dependency.from], group[dependency.to])
      let delay = offset[dependency.from] + dependency.delay - offset[dependency.to]
      if from == to && dependency.distance == 0 && delay <= 0 { continue }
      // Where the later job stands well inside its group a negative delay remains, which a
      // dependency cannot say; 0 is stricter.
      let joined = LoopBody.Dependency(
        from: from, to: to, delay: max(delay, 0), distance: dependency.distance)
      if seen.insert(joined).inserted { self.body.add(joined) }
    }
  }

  /// Starts of the single jobs.
  func starts(of joined: [Int]) -> [Int] {
    group.indices.map { joined[group[$0]] + offset[$0] }
  }

  private struct Key: Hashable {
    var batch: Int
    var resource: Int
    var before: [UInt64]
    var after: [UInt64]
  }

  /// Jobs that belong together, each lot in an order that dependencies allow.
  private static func lots(of body: LoopBody) -> [[Int]]? {
    guard let order = body.topologicalOrder else { return nil }
    let count = body.jobs.count
    let words = (count + 63) / 64
    var next = Array(repeating: [Int](), count: count)
    for dependency in body.dependencies where dependency.distance == 0 {
      next[dependency.from].append(dependency.to)
    }
    var before = Array(repeating: Array(repeating: UInt64(0), count: words), count: count)
    var after = before
    for job in order {
      for later in next[job] {
        for word in 0..<words { before[later][word] |= before[job][word] }
        before[later][job / 64] |= 1 << UInt64(job % 64)
      }
    }
    for job in order.reversed() {
      for later in next[job] {
        for word in 0..<words { after[job][word] |= after[later][word] }
        after[job][later / 64] |= 1 << UInt64(later % 64)
      }
    }
    var others = Array(
      repeating: Array(repeating: UInt64(0), count: words), count: body.resources)
    for (job, made) in body.jobs.enumerated() {
      for resource in 0..<body.resources where resource != made.resource {
        others[resource][job / 64] |= 1 << UInt64(job % 64)
      }
    }
    var lots: [[Int]] = []
    var lotOf: [Key: Int] = [:]
    for job in order {
      let resource = body.jobs[job].resource
      let mask = others[resource]
      let key = Key(
        batch: body.jobs[job].batch, resource: resource,
        before: zip(before[job], mask).map { $0 & $1 },
        after: zip(after[job], mask).map { $0 & $1 })
      if let lot = lotOf[key] {
        lots[lot].append(job)
      } else {
        lotOf[key] = lots.count
        lots.append([job])
      }
    }
    return lots
  }

  /// Consecutive parts of a lot, cut where its time comes nearest to equal shares.
  private static func cut(_ lot: [Int], into pieces: Int, of body: LoopBody) -> [[Int]] {
    let total = lot.reduce(0) { $0 + body.jobs[$1].duration }
    var parts: [[Int]] = [[]]
    var done = 0
    for job in lot {
      let duration = body.jobs[job].duration
      // The job opens a new part if its middle lies beyond the share of the parts so far.
      let share = total * parts.count / pieces
      if !parts[parts.count - 1].isEmpty && parts.count < pieces && done + duration / 2 >= share {
        parts.append([])
      }
      parts[parts.count - 1].append(job)
      done += duration
    }
    return parts
  }
}
