/// How two micro-batches that are alike pass each other: Akers' method for two jobs, made periodic.
///
/// The progress of one micro-batch is an axis, that of the other the second one. Where both need one
/// resource lies a rectangle that no path may cross. A path goes on diagonally while both run, and
/// where it meets a rectangle it passes it on one side or the other: one of the two waits. All
/// shortest paths turn at corners, so a graph of the corners holds them, and the period of a schedule
/// is the length of a path from a point to the same point a layer later.
///
/// In a real layer a job can wait while its micro-batch's exchange goes on; here all of a micro-batch
/// waits, and ways through a rectangle of exchanges are let pass where one began before. Paths are
/// therefore only orders, whose period is found afterwards by longest paths.
struct CrossingPaths {
  /// A period with the starts of both micro-batches' jobs.
  struct Crossing {
    var period: Int
    var first: [Int]
    var second: [Int]
  }

  /// A job of the layer on the way around: `start` is counted from the line where paths begin.
  private struct Lap {
    var job: Int
    var start: Int
    var end: Int
  }

  /// Where a path turns, and which turns may follow.
  private struct Corner {
    var x: Int
    var y: Int
    var next = Meeting()
  }

  /// The first rectangle on a diagonal.
  private struct Meeting {
    /// How far it is.
    var ticks = Int.max
    /// The corner where the second micro-batch goes first, or -1 where there is no way to it.
    var upper = -1
    /// The corner where the first one does.
    var lower = -1
  }

  private let count: Int
  private let length: Int
  /// By job: its start, and how many layers before the line it is counted from it lies.
  private var turned: [(start: Int, laps: Int)] = []
  /// The jobs of each resource as they start, three laps of them.
  private var laps: [[Lap]] = []
  private var corners: [Corner] = []
  /// The corners on both sides of a rectangle, by resource, job of the first and lap job of the second.
  private var numbers: [[(upper: Int, lower: Int)]] = []
  private var own: [Int] = []
  /// Elementary steps taken.
  private(set) var work = 0

  /// Lays out one micro-batch: starts of its jobs when it runs alone, and the time until the next
  /// layer.
  init?(_ body: LoopBody, starts: [Int], length: Int) {
    count = body.jobs.count
    self.length = length
    let longest = body.jobs.indices.max {
      (body.jobs[$0].duration, $1) < (body.jobs[$1].duration, $0)
    }
    let compute = body.jobs.indices.filter { body.jobs[$0].resource == 0 }.max {
      (body.jobs[$0].duration, $1) < (body.jobs[$1].duration, $0)
    }
    guard let line = compute ?? longest, length > 0 else { return nil }
    for job in body.jobs.indices {
      let start = starts[job] - starts[line]
      turned.append((start.phase(length), start.floorDivided(by: length)))
    }
    for resource in 0..<body.resources {
      let jobs = body.jobs.indices.filter {
        body.jobs[$0].resource == resource && body.jobs[$0].duration > 0
      }.sorted { (turned[$0].start, $0) < (turned[$1].start, $1) }
      own.append(jobs.count)
      laps.append(
        (0..<3).flatMap { lap in
          jobs.map { job in
            let start = turned[job].start + lap * length
            return Lap(job: job, start: start, end: start + body.jobs[job].duration)
          }
        })
    }
    connect()
  }

  private mutating func connect() {
    var places: [(x: Int, y: Int, resource: Int, place: Int, isUpper: Bool)] = []
    for resource in laps.indices {
      let wide = 2 * own[resource]
      numbers.append(Array(repeating: (-1, -1), count: own[resource] * wide))
      for first in 0..<own[resource] {
        for second in 0..<wide {
          let (a, b) = (laps[resource][first], laps[resource][second])
          places.append((a.start, b.end, resource, first * wide + second, true))
          places.append((a.end, b.start, resource, first * wide + second, false))
        }
      }
    }
    places.sort {
      ($0.x + $0.y, $0.x, $0.resource, $0.place) < ($1.x + $1.y, $1.x, $1.resource, $1.place)
    }
    for (number, place) in places.enumerated() {
      corners.append(Corner(x: place.x, y: place.y))
      if place.isUpper {
        numbers[place.resource][place.place].upper = number
      } else {
        numbers[place.resource][place.place].lower = number
      }
    }
    for number in corners.indices {
      corners[number].next = meets(corners[number].x, corners[number].y)
    }
  }

  /// The first rectangle on the diagonal from a point.
  private mutating func meets(_ x: Int, _ y: Int) -> Meeting {
    var found = Meeting()
    for resource in laps.indices {
      let all = laps[resource]
      let wide = 2 * own[resource]
      var first = 0
      var second = 0
      while first < own[resource] && all[first].end <= x { first += 1 }
      while second < wide && all[second].end <= y { second += 1 }
      work += first + second
      while first < own[resource] && second < wide {
        work += 1
        let (a, b) = (all[first], all[second])
        let hit = max(a.start - x, b.start - y, 0)
        if hit >= found.ticks { break }
        let isInside = resource > 0 && a.start < x && b.start < y
        if hit < min(a.end - x, b.end - y) && !isInside {
          let number = numbers[resource][first * wide + second]
          found = Meeting(
            ticks: hit, upper: a.start >= x ? number.upper : -1,
            lower: b.start >= y ? number.lower : -1)
          break
        }
        if a.end - x <= b.end - y { first += 1 } else { second += 1 }
      }
    }
    if found.upper >= 0 {
      let turn = corners[found.upper]
      if !isFree(x: turn.x, from: y + turn.x - x, to: turn.y) { found.upper = -1 }
    }
    if found.lower >= 0 {
      let turn = corners[found.lower]
      if !isFree(y: turn.y, from: x + turn.y - y, to: turn.x) { found.lower = -1 }
    }
    return found
  }

  /// Whether the first micro-batch may wait at `x` while the second one goes on.
  private func isFree(x: Int, from: Int, to: Int) -> Bool {
    // Exchanges that go on do not wait: only compute is asked.
    !laps[0].contains { $0.start < x && x < $0.end }
      || !laps[0].contains { $0.start < to && from < $0.end }
  }

  /// Whether the second micro-batch may wait at `y` while the first one goes on.
  private func isFree(y: Int, from: Int, to: Int) -> Bool { isFree(x: y, from: from, to: to) }

  /// The best ways around from each place where the second micro-batch may be when the first one
  /// passes the line, the shortest first.
  mutating func shortest(_ most: Int) -> [Crossing] {
    var offsets: Set<Int> = [0]
    for lap in laps.joined() where lap.start < length {
      offsets.insert(lap.start.phase(length))
      offsets.insert(lap.end.phase(length))
    }
    // Where diagonals from corners before the line cross it.
    for corner in corners where corner.next.ticks > length - corner.x && corner.x <= length {
      offsets.insert((corner.y + length - corner.x).phase(length))
    }
    var found: [(period: Int, offset: Int)] = []
    for offset in offsets.sorted() {
      if let way = way(from: offset) { found.append((way.period, offset)) }
    }
    found.sort { ($0.period, $0.offset) < ($1.period, $1.offset) }
    return found.prefix(most).compactMap { way in
      self.way(from: way.offset).map { crossing(way.offset, $0.points, $0.period) }
    }
  }

  /// The shortest way from `(0, offset)` once around.
  private mutating func way(from offset: Int) -> (period: Int, points: [(x: Int, y: Int)])? {
    var ticks = Array(repeating: Int.max, count: corners.count)
    var before = Array(repeating: -1, count: corners.count)
    var best = Int.max
    var last = -1
    let first = meets(0, offset)
    if first.ticks >= length { return (length, [(0, offset), (length, offset + length)]) }
    for next in [first.upper, first.lower] where next >= 0 {
      ticks[next] = max(corners[next].x, corners[next].y - offset)
    }
    for number in corners.indices where ticks[number] < best {
      let corner = corners[number]
      work += 1
      let (wide, high) = (length - corner.x, offset + length - corner.y)
      if wide < 0 || high < 0 { continue }
      // What is left is run through; the one that is there first waits.
      let end = ticks[number] + max(wide, high)
      if end < best && corner.next.ticks >= min(wide, high)
        && (wide <= high
          ? isFree(x: length, from: corner.y + wide, to: offset + length)
          : isFree(y: offset + length, from: corner.x + high, to: length))
      {
        (best, last) = (end, number)
      }
      for next in [corner.next.upper, corner.next.lower] where next >= 0 {
        let turn = corners[next]
        let sum = ticks[number] + max(turn.x - corner.x, turn.y - corner.y)
        if sum < ticks[next] { (ticks[next], before[next]) = (sum, number) }
      }
    }
    if last < 0 { return nil }
    var points = [(x: length, y: offset + length)]
    while last >= 0 {
      points.append((corners[last].x, corners[last].y))
      last = before[last]
    }
    points.append((0, offset))
    return (best, points.reversed())
  }

  /// Starts of all jobs on a way.
  private func crossing(_ offset: Int, _ points: [(x: Int, y: Int)], _ period: Int) -> Crossing {
    var crossing = Crossing(
      period: period, first: Array(repeating: 0, count: count),
      second: Array(repeating: 0, count: count))
    for job in 0..<count {
      let (start, before) = turned[job]
      crossing.first[job] = time(start, points, \.x) + before * period
      // The second one is behind the first, as micro-batches that keep state must be.
      let isNext = start < offset
      crossing.second[job] =
        time(isNext ? start + length : start, points, \.y)
        + (before + (isNext ? 0 : 1)) * period
    }
    return crossing
  }

  /// When one of the two goes on from where its progress is `place`.
  private func time(
    _ place: Int, _ points: [(x: Int, y: Int)], _ axis: KeyPath<(x: Int, y: Int), Int>
  ) -> Int {
    var ticks = 0
    for (from, to) in zip(points, points.dropFirst()) {
      if place < to[keyPath: axis] { return ticks + place - from[keyPath: axis] }
      ticks += max(to.x - from.x, to.y - from.y)
    }
    return ticks
  }
}
