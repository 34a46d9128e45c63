/// How the tokens of a batch are split over replicas so that the fullest rank has as few as possible.
///
/// Exact: a flow from experts to the ranks that hold them decides whether a limit can be kept; if
/// not, the cut names experts whose tokens alone fill their ranks further, which is the next limit.
/// Every limit tried is a lower bound, so the first that can be kept is the smallest.
public struct TokenSplit: Sendable {
  /// The slots.
  public let shape: PlacementShape
  private let slots: [Int]
  /// The slots of each expert, one expert after the other.
  private let places: [Int]
  private let firstPlace: [Int]
  /// The slots of each rank that hold an expert with replicas.
  private let shared: [Int]
  private let firstShared: [Int]

  /// Prepares splits over the given slots.
  public init(shape: PlacementShape, slots: [Int]) throws(PlacementError) {
    if let fault = shape.fault(in: slots) { throw .shape(fault) }
    self.shape = shape
    self.slots = slots
    var lists = Array(repeating: [Int](), count: shape.experts)
    for (slot, expert) in slots.enumerated() { lists[expert].append(slot) }
    var firstPlace = [0]
    var places: [Int] = []
    for list in lists {
      places += list
      firstPlace.append(places.count)
    }
    var firstShared = [0]
    var shared: [Int] = []
    for rank in 0..<shape.ranks {
      for slot in (rank * shape.slotsPerRank)..<((rank + 1) * shape.slotsPerRank)
      where lists[slots[slot]].count > 1 {
        shared.append(slot)
      }
      firstShared.append(shared.count)
    }
    self.places = places
    self.firstPlace = firstPlace
    self.shared = shared
    self.firstShared = firstShared
  }

  /// Tokens of each slot, and those of the fullest rank.
  public func split(tokens: [Int]) throws(PlacementError) -> (slots: [Int], most: Int) {
    guard tokens.count == shape.experts else {
      throw .shape("\(tokens.count) token counts for \(shape.experts) experts")
    }
    guard tokens.allSatisfy({ $0 >= 0 && $0 < 1 << 48 }) else {
      throw .shape("a token count is negative or too large")
    }
    var flow = Flow(self, tokens)
    flow.run()
    return (flow.slotTokens, flow.limit)
  }

  /// The slots of an expert, ascending.
  public func places(of expert: Int) -> ArraySlice<Int> {
    places[firstPlace[expert]..<firstPlace[expert + 1]]
  }

  /// Tokens of each slot: `split` for counts that are known to be one for each expert, not negative
  /// and below 2^48.
  public func slotTokens(of tokens: [Int]) -> [Int] {
    precondition(tokens.count == shape.experts, "a count of tokens for each expert")
    var flow = Flow(self, tokens)
    flow.run()
    return flow.slotTokens
  }

  /// The share of an expert's tokens that each slot takes, for given loads, and the load of the
  /// fullest rank with those shares.
  public func shares(weights: [Double]) throws(PlacementError) -> (slots: [Double], most: Double) {
    let total = weights.reduce(0, +)
    guard total > 0, total.isFinite else {
      let (even, _) = try split(tokens: Array(repeating: 0, count: weights.count))
      return (
        even.indices.map {
          1 / Double(firstPlace[slots[$0] + 1] - firstPlace[slots[$0]])
        }, 0
      )
    }
    let scale = 0x1p40 / total
    let (tokens, most) = try split(tokens: weights.map { Int(($0 * scale).rounded()) })
    let shares = tokens.indices.map { slot -> Double in
      let whole = (weights[slots[slot]] * scale).rounded()
      let count = firstPlace[slots[slot] + 1] - firstPlace[slots[slot]]
      return whole > 0 ? Double(tokens[slot]) / whole : 1 / Double(count)
    }
    return (shares, Double(most) / scale)
  }

  /// A flow in the making.
  private struct Flow {
    let split: TokenSplit
    let tokens: [Int]
    var slotTokens: [Int]
    var rankTokens: [Int]
    var rest: [Int]
    var limit = 0
    private var expertLevel: [Int]
    private var rankLevel: [Int]
    private var expertNext: [Int]
    private var rankNext: [Int]
    private var queue: [Int] = []

    init(_ split: TokenSplit, _ tokens: [Int]) {
      self.split = split
      self.tokens = tokens
      slotTokens = Array(repeating: 0, count: split.slots.count)
      rankTokens = Array(repeating: 0, count: split.shape.ranks)
      rest = tokens
      expertLevel = Array(repeating: -1, count: tokens.count)
      rankLevel = Array(repeating: -1, count: split.shape.ranks)
      expertNext = expertLevel
      rankNext = rankLevel
    }

    mutating func run() {
      let size = split.shape.slotsPerRank
      for expert in tokens.indices {
        let first = split.firstPlace[expert]
        if split.firstPlace[expert + 1] - first > 1 { continue }
        let slot = split.places[first]
        slotTokens[slot] = tokens[expert]
        rankTokens[slot / size] += tokens[expert]
        rest[expert] = 0
      }
      let total = tokens.reduce(0, +)
      limit = max(
        (total + split.shape.ranks - 1) / split.shape.ranks, rankTokens.max() ?? 0)
      while true {
        while findLevels() {
          for expert in tokens.indices where rest[expert] > 0 {
            while rest[expert] > 0 {
              let pushed = push(from: expert, rest[expert])
              if pushed == 0 { break }
              rest[expert] -= pushed
            }
          }
        }
        if !rest.contains(where: { $0 > 0 }) { return }
        raiseLimit()
      }
    }

    /// Levels from experts with tokens left; whether a rank with room is reached.
    private mutating func findLevels() -> Bool {
      for index in expertLevel.indices { expertLevel[index] = -1 }
      for index in rankLevel.indices { rankLevel[index] = -1 }
      queue.removeAll(keepingCapacity: true)
      for expert in tokens.indices {
        expertNext[expert] = split.firstPlace[expert]
        if rest[expert] > 0 {
          expertLevel[expert] = 0
          queue.append(expert)
        }
      }
      for rank in rankNext.indices { rankNext[rank] = split.firstShared[rank] }
      var found = false
      var head = 0
      while head < queue.count {
        let expert = queue[head]
        head += 1
        for place in split.firstPlace[expert]..<split.firstPlace[expert + 1] {
          let rank = split.places[place] / split.shape.slotsPerRank
          if rankLevel[rank] >= 0 { continue }
          rankLevel[rank] = expertLevel[expert] + 1
          if rankTokens[rank] < limit { found = true }
          for index in split.firstShared[rank]..<split.firstShared[rank + 1] {
            let slot = split.shared[index]
            let other = split.slots[slot]
            if slotTokens[slot] > 0 && expertLevel[other] < 0 {
              expertLevel[other] = rankLevel[rank] + 1
              queue.append(other)
            }
          }
        }
      }
      return found
    }

    /// Moves up to `amount` tokens of an expert to ranks with room, one path at a time.
    private mutating func push(from expert: Int, _ amount: Int) -> Int {
      while expertNext[expert] < split.firstPlace[expert + 1] {
        let slot = split.places[expertNext[expert]]
        let rank = slot / split.shape.slotsPerRank
        if rankLevel[rank] == expertLevel[expert] + 1 {
          let room = limit - rankTokens[rank]
          if room > 0 {
            let pushed = min(room, amount)
            rankTokens[rank] += pushed
            slotTokens[slot] += pushed
            return pushed
          }
          while rankNext[rank] < split.firstShared[rank + 1] {
            let back = split.shared[rankNext[rank]]
            let other = split.slots[back]
            if slotTokens[back] > 0 && expertLevel[other] == rankLevel[rank] + 1 {
              let pushed = push(from: other, min(amount, slotTokens[back]))
              if pushed > 0 {
                slotTokens[back] -= pushed
                slotTokens[slot] += pushed
                return pushed
              }
            }
            rankNext[rank] += 1
          }
        }
        expertNext[expert] += 1
      }
      return 0
    }

    /// The ranks that were reached are full, and hold only tokens that can go nowhere else: together
    /// with those left over they need a higher limit.
    private mutating func raiseLimit() {
      var held = rest.reduce(0, +)
      var ranks = 0
      for rank in rankLevel.indices where rankLevel[rank] >= 0 {
        held += rankTokens[rank]
        ranks += 1
      }
      limit = max(limit + 1, (held + max(ranks, 1) - 1) / max(ranks, 1))
    }
  }
}
