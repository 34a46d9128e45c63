/// A layer's slots while they are being searched: even shares between the replicas of an expert.
///
/// Everything is flat. `load[rank]` is kept up to date by the moves; recompute it with `reload()`
/// when rounding must not accumulate.
struct LayerState {
  /// Ranks.
  let ranks: Int
  /// Slots of a rank.
  let slotsPerRank: Int
  /// Words of a rank's set of experts.
  let words: Int
  /// Tokens of each logical expert.
  var weights: [Double]
  /// Slots of each logical expert.
  var counts: [Int]
  /// Tokens of a slot of each logical expert: weight over count.
  var pieces: [Double]
  /// The expert in each slot, ranks one after the other; -1 while it is empty.
  var slots: [Int]
  /// Tokens of each rank.
  var load: [Double]
  /// A set of experts for each rank.
  var held: [UInt64]

  /// An empty layer.
  init(weights: [Double], ranks: Int, slotsPerRank: Int) {
    self.weights = weights
    self.ranks = ranks
    self.slotsPerRank = slotsPerRank
    words = (weights.count + 63) / 64
    counts = Array(repeating: 0, count: weights.count)
    pieces = weights
    slots = Array(repeating: -1, count: ranks * slotsPerRank)
    load = Array(repeating: 0, count: ranks)
    held = Array(repeating: 0, count: ranks * words)
  }

  /// A layer whose slots are given, no expert twice on a rank.
  init(weights: [Double], ranks: Int, slotsPerRank: Int, slots: [Int]) {
    self.init(weights: weights, ranks: ranks, slotsPerRank: slotsPerRank)
    self.slots = slots
    for (slot, expert) in slots.enumerated() {
      counts[expert] += 1
      hold(expert, slot / slotsPerRank)
    }
    reload()
  }

  /// Logical experts.
  var experts: Int { weights.count }

  /// The fullest rank.
  var fullest: Int {
    var best = 0
    for rank in 1..<max(ranks, 1) where load[rank] > load[best] { best = rank }
    return best
  }

  /// Tokens of the fullest rank.
  var most: Double { load[fullest] }

  /// Whether a rank has a slot with the expert.
  func holds(_ expert: Int, _ rank: Int) -> Bool {
    held[rank &* words &+ expert >> 6] >> UInt64(expert & 63) & 1 == 1
  }

  /// Notes that a rank has the expert.
  mutating func hold(_ expert: Int, _ rank: Int) {
    held[rank &* words &+ expert >> 6] |= 1 << UInt64(expert & 63)
  }

  /// Notes that a rank no longer has the expert.
  mutating func release(_ expert: Int, _ rank: Int) {
    held[rank &* words &+ expert >> 6] &= ~(1 << UInt64(expert & 63))
  }

  /// Recomputes pieces and loads from weights, counts and slots.
  mutating func reload() {
    for expert in 0..<experts { pieces[expert] = weights[expert] / Double(max(counts[expert], 1)) }
    for rank in 0..<ranks {
      var sum = 0.0
      for slot in (rank * slotsPerRank)..<((rank + 1) * slotsPerRank) where slots[slot] >= 0 {
        sum += pieces[slots[slot]]
      }
      load[rank] = sum
    }
  }

  /// Swaps the experts of two slots of different ranks.
  mutating func exchange(_ first: Int, _ second: Int) {
    let a = first / slotsPerRank
    let b = second / slotsPerRank
    let x = slots[first]
    let y = slots[second]
    release(x, a)
    release(y, b)
    hold(y, a)
    hold(x, b)
    slots[first] = y
    slots[second] = x
    let difference = pieces[x] - pieces[y]
    load[a] -= difference
    load[b] += difference
  }
}
