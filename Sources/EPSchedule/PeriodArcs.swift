/// `start(to) >= start(from) + delay - distance * period`.
struct Arc {
  var from: Int
  var to: Int
  var delay: Int
  var distance: Int
}

/// The smallest period that a set of arcs allows: the greatest ratio of delay to distance of any
/// circle of arcs.
struct PeriodArcs {
  var count: Int
  var arcs: [Arc]

  init(_ body: LoopBody) {
    count = body.jobs.count
    arcs = body.dependencies.map {
      Arc(from: $0.from, to: $0.to, delay: $0.delay, distance: $0.distance)
    }
  }

  /// The smallest whole period from `least` on, with starts that meet it, none negative; nil where
  /// no longer period would do.
  ///
  /// Longest paths are sought at a period; a circle that has none is one whose ratio is higher, and
  /// the period goes up to that. Each round costs at most jobs times arcs.
  func smallestPeriod(atLeast least: Int) -> (period: Int, starts: [Int])? {
    var period = least
    while true {
      switch paths(period) {
      case .starts(let starts): return (period, starts)
      case .circle(let delay, let distance):
        if distance <= 0 { return nil }
        period = max(period + 1, (delay + distance - 1) / distance)
      }
    }
  }

  private enum Outcome {
    case starts([Int])
    case circle(delay: Int, distance: Int)
  }

  private func paths(_ period: Int) -> Outcome {
    var starts = Array(repeating: 0, count: count)
    var reason = Array(repeating: -1, count: count)
    var last = -1
    for _ in 0...count {
      last = -1
      for (number, arc) in arcs.enumerated() {
        let start = starts[arc.from] + arc.delay - arc.distance * period
        if start > starts[arc.to] {
          starts[arc.to] = start
          reason[arc.to] = number
          last = arc.to
        }
      }
      if last < 0 { return .starts(starts) }
    }
    // Still rising after as many rounds as there are jobs: some circle feeds the last one.
    var job = last
    for _ in 0..<count where reason[job] >= 0 { job = arcs[reason[job]].from }
    var delay = 0
    var distance = 0
    let end = job
    repeat {
      let arc = arcs[reason[job]]
      delay += arc.delay
      distance += arc.distance
      job = arc.from
    } while job != end
    return .circle(delay: delay, distance: distance)
  }
}
