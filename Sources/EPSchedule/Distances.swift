internal import CEPSchedule

/// How far apart any two jobs start at least, at one period: longest paths between all pairs, kept
/// up to date as arcs are added.
struct Distances {
  let count: Int
  let period: Int
  /// `start(to) - start(from) >= least[from * count + to]`.
  private var least: [Int64]
  /// Elementary steps taken since the first arc.
  private(set) var work = 0

  /// Distances of jobs that do not know of each other, none further than `reach` ticks from another.
  init(count: Int, period: Int, reach: Int) {
    self.count = count
    self.period = period
    least = Array(repeating: Int64(-reach), count: count * count)
    for job in 0..<count { least[job * count + job] = 0 }
  }

  func least(from: Int, to: Int) -> Int { Int(least[from * count + to]) }

  /// Adds `start(to) - start(from) >= ticks`; false where that cannot be met.
  mutating func add(from: Int, to: Int, _ ticks: Int) -> Bool {
    if from == to { return ticks <= 0 }
    if least(from: from, to: to) >= ticks { return true }
    if least(from: to, to: from) + ticks > 0 { return false }
    precondition(from < count && to < count)
    let count = Int64(count)
    // Solvers spend much of their time here.
    let rows = unsafe least.withUnsafeMutableBufferPointer { least in
      unsafe epc_lengthen_paths(least.baseAddress, count, Int64(from), Int64(to), Int64(ticks))
    }
    work += Int(rows * count)
    return true
  }
}
