/// A body of several micro-batches that are all alike, folded to one of them.
///
/// If micro-batch `b` runs just like the first one, `b` folded periods later, then a schedule of one
/// micro-batch with all distances times their number is a schedule of all of them, and its period
/// times their number is theirs. There may be shorter ones that are not so even, but a body of a
/// half or a third of the jobs is searched much sooner.
struct Folding {
  /// One micro-batch.
  private(set) var body: LoopBody
  /// How many there are.
  private(set) var count: Int
  /// For each job of the whole body, the one of `body` it is like, and how many periods later.
  private(set) var like: [(job: Int, turn: Int)]

  /// Folds a body; nil where its micro-batches differ or know of each other.
  init?(_ whole: LoopBody) {
    var members: [Int: [Int]] = [:]
    var batches: [Int] = []
    for (job, made) in whole.jobs.enumerated() {
      if members[made.batch] == nil { batches.append(made.batch) }
      members[made.batch, default: []].append(job)
    }
    guard batches.count > 1, let first = members[batches[0]] else { return nil }
    count = batches.count
    like = Array(repeating: (0, 0), count: whole.jobs.count)
    for (turn, batch) in batches.enumerated() {
      guard let own = members[batch], own.count == first.count else { return nil }
      for (job, original) in zip(own, first.indices) {
        let (a, b) = (whole.jobs[job], whole.jobs[first[original]])
        if a.duration != b.duration || a.resource != b.resource { return nil }
        like[job] = (original, turn)
      }
    }
    var sets: [Set<LoopBody.Dependency>] = Array(repeating: [], count: count)
    for dependency in whole.dependencies {
      let (from, to) = (like[dependency.from], like[dependency.to])
      let (distance, over) = dependency.distance.multipliedReportingOverflow(by: count)
      // That a job waits for itself in the micro-batch before is so anyway: they start a folded
      // period apart, and a resource has time for all of them in a whole one.
      let isTurn = from.turn + 1 == to.turn && from.job == to.job && dependency.distance == 0
      if isTurn && dependency.delay <= whole.jobs[dependency.from].duration { continue }
      if from.turn != to.turn || over || distance > LoopBody.mostDistance { return nil }
      sets[from.turn].insert(
        LoopBody.Dependency(
          from: from.job, to: to.job, delay: dependency.delay, distance: distance))
    }
    if sets.contains(where: { $0 != sets[0] }) { return nil }
    body = LoopBody(resources: whole.resources)
    for job in first { body.add(whole.jobs[job]) }
    for dependency in whole.dependencies
    where like[dependency.from].turn == 0 && like[dependency.to].turn == 0 {
      body.add(
        LoopBody.Dependency(
          from: like[dependency.from].job, to: like[dependency.to].job, delay: dependency.delay,
          distance: dependency.distance * count))
    }
  }

  /// The whole body, with the jobs of each micro-batch that share a resource in the order of
  /// `folded`.
  func ordered(_ whole: LoopBody, by folded: [Int]) -> LoopBody {
    var ordered = whole
    for turn in 0..<count {
      for resource in 0..<whole.resources {
        let own = whole.jobs.indices.filter {
          like[$0].turn == turn && whole.jobs[$0].resource == resource
            && whole.jobs[$0].duration > 0
        }.sorted { (folded[like[$0].job], $0) < (folded[like[$1].job], $1) }
        for (earlier, later) in zip(own, own.dropFirst()) { ordered.add(later, after: earlier) }
      }
    }
    return ordered
  }

  /// Whether the jobs of each resource follow each other alike in all micro-batches.
  func ordersAreAlike(_ starts: [Int], in whole: LoopBody) -> Bool {
    for resource in 0..<whole.resources {
      var first: [Int]?
      for turn in 0..<count {
        let own = whole.jobs.indices.filter {
          like[$0].turn == turn && whole.jobs[$0].resource == resource
            && whole.jobs[$0].duration > 0
        }.sorted { (starts[$0], $0) < (starts[$1], $1) }.map { like[$0].job }
        if let first, first != own { return false }
        first = own
      }
    }
    return true
  }

  /// The shortest schedule of the whole body in the order of one micro-batch's, each a share of the
  /// period behind the one before.
  func tightened(
    _ whole: LoopBody, starts folded: [Int], period: Int, atLeast least: Int
  ) -> (period: Int, starts: [Int]) {
    ListSchedule.tightened(
      whole, starts: starts(of: folded, period: period), period: period * count, atLeast: least)
  }

  /// The starts of one micro-batch's jobs.
  func starts(ofTurn turn: Int, in starts: [Int]) -> [Int] {
    var own = Array(repeating: 0, count: body.jobs.count)
    for (job, place) in like.enumerated() where place.turn == turn { own[place.job] = starts[job] }
    return own
  }

  /// Starts of all jobs, from those of each micro-batch.
  func starts(ofEach turns: [[Int]]) -> [Int] { like.map { turns[$0.turn][$0.job] } }

  /// Starts of all jobs, from those of one micro-batch at a folded period.
  func starts(of folded: [Int], period: Int) -> [Int] {
    like.map { folded[$0.job] + $0.turn * period }
  }
}
