/// A layer's slots with the risk that each rank becomes the fullest under drifting loads.
///
/// The risk of a rank is the expected value of `exp(sharpness * load)`, with loads in units of the
/// mean, when every expert's load varies by the relative deviation `drift`, independently: a rank
/// with one large piece is riskier than one with many small ones. Their sum bounds the expected
/// maximum, and unlike the maximum it tells good moves from bad ones while several ranks are full.
struct RiskState {
  private(set) var state: LayerState
  /// The slots of each expert.
  private(set) var places: [[Int]]
  /// Copies made so far: experts of ranks that were not there at the start.
  private(set) var copies = 0
  /// The sum over ranks.
  private(set) var risk = 0.0
  private var risks: [Double]
  /// What a slot of each expert multiplies a rank's risk by; and if the expert had one slot more, or
  /// one less.
  private var factor: [Double]
  private var thinner: [Double]
  private var thicker: [Double]
  private let start: LayerState
  private let base: Double
  private let linear: Double
  private let quadratic: Double
  private let sharpness: Double

  init(_ state: LayerState, drift: Double, sharpness wanted: Double) {
    self.state = state
    start = state
    let mean = max(state.load.reduce(0, +) / Double(state.ranks), 1e-300)
    // Keeps all exponents below 300, at any imbalance.
    let most = state.most / mean
    var sharpness = wanted
    while sharpness * most * (1 + 0.5 * sharpness * drift * drift * most) > 300 { sharpness /= 2 }
    self.sharpness = sharpness
    base = exponential(-sharpness)
    linear = sharpness / mean
    quadratic = 0.5 * sharpness * sharpness * drift * drift / (mean * mean)
    places = Array(repeating: [], count: state.experts)
    for (slot, expert) in state.slots.enumerated() { places[expert].append(slot) }
    risks = Array(repeating: 0, count: state.ranks)
    factor = Array(repeating: 1, count: state.experts)
    thinner = factor
    thicker = factor
    for expert in 0..<state.experts { refactor(expert) }
    refresh()
  }

  /// The expected maximum that the risk stands for, in units of the mean.
  var expectedMost: Double { 1 + naturalLogarithm(max(risk, 1e-300)) / sharpness }

  /// A change of the slots.
  enum Move: Hashable {
    /// Another expert in the slot.
    case replace(slot: Int, by: Int)
    /// The experts of two slots change places.
    case exchange(Int, Int)
  }

  private mutating func refactor(_ expert: Int) {
    let weight = state.weights[expert]
    let count = Double(state.counts[expert])
    func factor(_ piece: Double) -> Double {
      exponential(min(linear * piece + quadratic * piece * piece, 600))
    }
    self.factor[expert] = factor(weight / count)
    thinner[expert] = factor(weight / (count + 1))
    thicker[expert] = count > 1 ? factor(weight / (count - 1)) : .infinity
  }

  private mutating func refresh() {
    state.reload()
    risk = 0
    for rank in 0..<state.ranks {
      var product = base
      for slot in (rank * state.slotsPerRank)..<((rank + 1) * state.slotsPerRank) {
        product *= factor[state.slots[slot]]
      }
      risks[rank] = product
      risk += product
    }
  }

  /// Makes a move.
  mutating func apply(_ move: Move) {
    copies += cost(of: move)
    switch move {
    case .replace(let slot, let expert):
      let old = state.slots[slot]
      let rank = slot / state.slotsPerRank
      state.release(old, rank)
      state.hold(expert, rank)
      state.slots[slot] = expert
      state.counts[old] -= 1
      state.counts[expert] += 1
      places[old].removeAll { $0 == slot }
      places[expert].append(slot)
      refactor(old)
      refactor(expert)
    case .exchange(let first, let second):
      let a = state.slots[first]
      let b = state.slots[second]
      state.exchange(first, second)
      for index in places[a].indices where places[a][index] == first { places[a][index] = second }
      for index in places[b].indices where places[b][index] == second { places[b][index] = first }
    }
    refresh()
  }

  /// Copies that a move adds; negative when it undoes earlier ones.
  func cost(of move: Move) -> Int {
    func gain(_ expert: Int, _ rank: Int) -> Int { start.holds(expert, rank) ? 0 : 1 }
    switch move {
    case .replace(let slot, let expert):
      let rank = slot / state.slotsPerRank
      return gain(expert, rank) - gain(state.slots[slot], rank)
    case .exchange(let first, let second):
      let a = first / state.slotsPerRank
      let b = second / state.slotsPerRank
      let x = state.slots[first]
      let y = state.slots[second]
      return gain(y, a) + gain(x, b) - gain(x, a) - gain(y, b)
    }
  }

  /// The move that lowers the risk most for its copies, among those of the riskiest ranks, if any
  /// does within `budget` copies in all.
  func bestMove(budget: Int, width: Int) -> Move? {
    let ranks = (0..<state.ranks).sorted {
      risks[$0] > risks[$1] || (risks[$0] == risks[$1] && $0 < $1)
    }.prefix(width)
    var best = risk * 1e-7
    var found: Move?
    func consider(_ move: Move, _ fall: Double) {
      if fall <= best * 0.25 { return }
      let cost = cost(of: move)
      if copies + cost > budget { return }
      let worth = cost > 0 ? fall / Double(cost) : fall * 4
      if worth > best {
        best = worth
        found = move
      }
    }
    let size = state.slotsPerRank
    var takers: [Int] = []
    for rank in ranks {
      for own in (rank * size)..<((rank + 1) * size) {
        let expert = state.slots[own]
        if !takers.contains(expert) { takers.append(expert) }
        let large = factor[expert]
        for other in 0..<state.ranks where risks[other] < risks[rank] {
          if state.holds(expert, other) { continue }
          for slot in (other * size)..<((other + 1) * size) {
            let there = factor[state.slots[slot]]
            if there >= large { continue }
            let fall = risks[rank] * (1 - there / large) + risks[other] * (1 - large / there)
            if fall > best * 0.25 && !state.holds(state.slots[slot], rank) {
              consider(.exchange(own, slot), fall)
            }
          }
        }
      }
    }
    for taker in takers where state.counts[taker] < state.ranks && state.weights[taker] > 0 {
      for giver in 0..<state.experts where state.counts[giver] > 1 && giver != taker {
        for slot in places[giver] where !state.holds(taker, slot / size) {
          let fall = fall(slot: slot, to: taker)
          if fall > 0 { consider(.replace(slot: slot, by: taker), fall) }
        }
      }
    }
    return found
  }

  /// By how much the risk falls when a slot gets another expert.
  private func fall(slot: Int, to taker: Int) -> Double {
    let giver = state.slots[slot]
    let size = state.slotsPerRank
    let home = slot / size
    let thin = thinner[taker] / factor[taker]
    let thick = thicker[giver] / factor[giver]
    var fall = risks[home] * (1 - thinner[taker] / factor[giver])
    for place in places[taker] {
      let rank = place / size
      fall += risks[rank] * (1 - (state.holds(giver, rank) ? thin * thick : thin))
    }
    for place in places[giver] where place != slot {
      let rank = place / size
      if !state.holds(taker, rank) { fall += risks[rank] * (1 - thick) }
    }
    return fall
  }
}
