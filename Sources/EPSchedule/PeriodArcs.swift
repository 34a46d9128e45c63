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
      case .circle(let circle):
        let delay = circle.reduce(0) { $0 + arcs[$1].delay }
        let distance = circle.reduce(0) { $0 + arcs[$1].distance }
        if distance <= 0 { return nil }
        period = max(period + 1, (delay + distance - 1) / distance)
      }
    }
  }

  /// The arcs of a circle that a period is too short for; nil where it is not.
  func circle(_ period: Int) -> [Int]? {
    if case .circle(let circle) = paths(period) { circle } else { nil }
  }

  private enum Outcome {
    case starts([Int])
    /// The numbers of its arcs.
    case circle([Int])
  }

  private func paths(_ period: Int) -> Outcome {
    var starts = Array(repeating: 0, count: count)
    var reason = Array(repeating: -1, count: count)
    var rounds = 0
    var look = 4
    while true {
      var hasRisen = false
      for (number, arc) in arcs.enumerated() {
        let start = starts[arc.from] + arc.delay - arc.distance * period
        if start > starts[arc.to] {
          starts[arc.to] = start
          reason[arc.to] = number
          hasRisen = true
        }
      }
      if !hasRisen { return .starts(starts) }
      rounds += 1
      // Reasons that go round in a circle are one that feeds itself. After as many rounds as there
      // are jobs there is one, mostly after a few.
      if rounds >= look {
        if let circle = circle(of: reason) { return .circle(circle) }
        look = rounds > count ? rounds + 1 : 2 * look
      }
    }
  }

  /// The arcs of a circle among the reasons of jobs' starts.
  private func circle(of reason: [Int]) -> [Int]? {
    // By job: the walk it was met on.
    var walk = Array(repeating: -1, count: count)
    for first in 0..<count where walk[first] < 0 {
      var job = first
      while walk[job] < 0 {
        walk[job] = first
        if reason[job] < 0 { break }
        job = arcs[reason[job]].from
      }
      if reason[job] < 0 || walk[job] != first { continue }
      var circle: [Int] = []
      let end = job
      repeat {
        circle.append(reason[job])
        job = arcs[reason[job]].from
      } while job != end
      return circle
    }
    return nil
  }
}
