/// How far apart any two jobs start at least, at one period: longest paths between all pairs, kept
/// up to date as arcs are added.
struct Distances {
  let count: Int
  let period: Int
  /// `start(to) - start(from) >= least[from * count + to]`.
  private(set) var least: [Int]
  /// Elementary steps taken since the first arc.
  private(set) var work = 0

  /// Distances of jobs that do not know of each other, none further than `reach` ticks from another.
  init(count: Int, period: Int, reach: Int) {
    self.count = count
    self.period = period
    least = Array(repeating: -reach, count: count * count)
    for job in 0..<count { least[job * count + job] = 0 }
  }

  func least(from: Int, to: Int) -> Int { least[from * count + to] }

  /// Adds `start(to) - start(from) >= ticks`; false where that cannot be met.
  mutating func add(from: Int, to: Int, _ ticks: Int) -> Bool {
    if from == to { return ticks <= 0 }
    if least[from * count + to] >= ticks { return true }
    if least[to * count + from] + ticks > 0 { return false }
    let count = self.count
    var rows = 1
    // Solvers spend much of their time here: without checks, several distances at a time.
    unsafe least.withUnsafeMutableBufferPointer { least in
      let behind = least.extracting((to * count)..<((to + 1) * count))
      for first in 0..<count {
        let row = least.extracting((first * count)..<((first + 1) * count))
        let sum = unsafe row[from] &+ ticks
        // Rows that the arc does not lengthen at its end are lengthened nowhere behind it.
        if unsafe sum <= row[to] { continue }
        rows += 1
        for second in 0..<count {
          unsafe row[second] = max(row[second], sum &+ behind[second])
        }
      }
    }
    work += rows * count
    return true
  }
}
