/// Places a layer's experts, each once, on ranks of unlike speed and room: so that the rank that is done
/// last is done as early as possible.
///
/// Experts go from heavy to light to the rank that would be done first with them; then moves and
/// exchanges between the last rank and others, as long as one helps.
public struct UnlikePlacement: Hashable, Sendable {
  /// The experts of each rank, ascending.
  public let experts: [[Int]]
  /// Tokens over speed of the rank that is done last.
  public let most: Double
  /// What no placement gets that below.
  public let bound: Double

  /// Places experts of the given loads.
  ///
  /// - Parameters:
  ///   - weights: tokens of each expert.
  ///   - speeds: how fast each rank is, positive.
  ///   - room: how many experts each rank can hold.
  public init(weights: [Double], speeds: [Double], room: [Int]) throws(PlacementError) {
    guard !speeds.isEmpty, speeds.count == room.count,
      speeds.allSatisfy({ $0 > 0 && $0.isFinite }), weights.allSatisfy({ $0 >= 0 && $0 <= 1e15 })
    else { throw .shape("ranks have positive speeds, and loads are not negative") }
    let places = room.reduce(0) { $0 + min(max($1, 0), weights.count) }
    guard places >= weights.count else {
      throw .shape("\(weights.count) experts on ranks that have room for \(places)")
    }
    var search = Search(weights: weights, speeds: speeds, room: room)
    search.pack()
    search.improve()
    experts = search.held.map { $0.sorted() }
    most = search.times.max() ?? 0
    bound = min(most, UnlikePlacement.bound(weights: weights, speeds: speeds, room: room))
  }

  /// The least time in which ranks can take all tokens, were experts divisible: each no more than its speed
  /// times that, nor than the heaviest experts that it has room for. Never above the truth.
  static func bound(weights: [Double], speeds: [Double], room: [Int]) -> Double {
    let heaviest = weights.sorted(by: >)
    let all = weights.reduce(0, +)
    let limits = room.map { heaviest.prefix(max($0, 0)).reduce(0, +) }
    var (low, high) = (0.0, all / (speeds.min() ?? 1))
    for _ in 0..<64 {
      let time = (low + high) / 2
      let taken = zip(speeds, limits).reduce(0) { $0 + min($1.0 * time, $1.1) }
      if taken < all { low = time } else { high = time }
    }
    return low * (1 - 1e-9)
  }

  private struct Search {
    let weights: [Double]
    let speeds: [Double]
    let room: [Int]
    var held: [[Int]]
    var loads: [Double]

    init(weights: [Double], speeds: [Double], room: [Int]) {
      self.weights = weights
      self.speeds = speeds
      self.room = room
      held = speeds.map { _ in [] }
      loads = speeds.map { _ in 0 }
    }

    var times: [Double] { zip(loads, speeds).map { $0 / $1 } }

    mutating func pack() {
      let order = weights.indices.sorted {
        weights[$0] > weights[$1] || (weights[$0] == weights[$1] && $0 < $1)
      }
      for expert in order {
        let free = speeds.indices.filter { held[$0].count < room[$0] }
        // Between ranks that are done alike, the faster.
        guard
          let rank = free.min(by: {
            let (a, b) = (time($0, more: weights[expert]), time($1, more: weights[expert]))
            return a < b || (a == b && speeds[$0] > speeds[$1])
          })
        else { return }
        held[rank].append(expert)
        loads[rank] += weights[expert]
      }
    }

    private func time(_ rank: Int, more: Double) -> Double { (loads[rank] + more) / speeds[rank] }

    /// Each step takes load off the last rank and leaves the other one done earlier than it was.
    mutating func improve() {
      for _ in 0..<(4 * weights.count + 16) {
        let times = times
        guard let last = times.indices.max(by: { times[$0] < times[$1] }),
          let best = bestStep(from: last, times[last])
        else { return }
        let given = held[last].remove(at: best.position)
        loads[last] -= weights[given]
        if let other = best.other {
          let taken = held[best.rank].remove(at: other)
          loads[best.rank] -= weights[taken]
          held[last].append(taken)
          loads[last] += weights[taken]
        }
        held[best.rank].append(given)
        loads[best.rank] += weights[given]
      }
    }

    private struct Step {
      var position: Int
      var rank: Int
      var other: Int?
      var most: Double
    }

    /// The move or exchange that makes the later of the two ranks earliest; nil if none helps.
    private func bestStep(from last: Int, _ time: Double) -> Step? {
      var best: Step?
      var least = time * (1 - 1e-9)
      func consider(_ position: Int, _ rank: Int, _ other: Int?, _ shift: Double) {
        let most = max(
          (loads[last] - shift) / speeds[last], (loads[rank] + shift) / speeds[rank])
        if most < least {
          least = most
          best = Step(position: position, rank: rank, other: other, most: most)
        }
      }
      for (position, expert) in held[last].enumerated() {
        for rank in speeds.indices where rank != last {
          if held[rank].count < room[rank] { consider(position, rank, nil, weights[expert]) }
          for (other, back) in held[rank].enumerated() where weights[back] < weights[expert] {
            consider(position, rank, other, weights[expert] - weights[back])
          }
        }
      }
      return best
    }
  }
}
