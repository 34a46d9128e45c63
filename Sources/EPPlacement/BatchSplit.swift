/// What a placement's balance is in single batches, which are samples of the loads.
public struct BatchBalance: Hashable, Sendable {
  /// Every replica takes the same part of its expert's tokens.
  public var even: Double
  /// Every replica takes a fixed share, chosen for the average loads.
  public var weighted: Double
  /// Each batch is split so that its fullest rank has as few tokens as possible.
  public var perBatch: Double
  /// The tokens go to the replicas in turn: whole tokens, as an engine without shares does it.
  public var roundRobin: Double
}

extension ExpertBalancer {
  /// Draws batches of `tokens` routed tokens from loads and measures mean over fullest rank.
  ///
  /// Tokens are drawn independently, each expert with a probability in proportion to its load.
  public static func batchBalance(
    shape: PlacementShape, slots: [Int], weights: [Double], tokens: Int, batches: Int,
    random: inout SeededRandom
  ) throws(PlacementError) -> BatchBalance {
    let split = try TokenSplit(shape: shape, slots: slots)
    let shares = try split.shares(weights: weights).slots
    var counts = Array(repeating: 0, count: shape.experts)
    for expert in slots { counts[expert] += 1 }
    var table = AliasTable(weights: weights)
    var result = BatchBalance(even: 0, weighted: 0, perBatch: 0, roundRobin: 0)
    guard batches > 0 && tokens > 0 else { throw .shape("batches and tokens must be positive") }
    for _ in 0..<batches {
      var batch = Array(repeating: 0, count: shape.experts)
      for _ in 0..<tokens { batch[table.draw(&random)] += 1 }
      var even = Array(repeating: 0.0, count: shape.ranks)
      var weighted = even
      var whole = Array(repeating: 0, count: shape.ranks)
      var turn = Array(repeating: 0, count: shape.experts)
      for (slot, expert) in slots.enumerated() {
        let rank = slot / shape.slotsPerRank
        even[rank] += Double(batch[expert]) / Double(counts[expert])
        weighted[rank] += Double(batch[expert]) * shares[slot]
        whole[rank] += (batch[expert] + turn[expert]) / counts[expert]
        turn[expert] += 1
      }
      let mean = Double(tokens) / Double(shape.ranks)
      let most = try split.split(tokens: batch).most
      result.even += mean / (even.max() ?? mean)
      result.weighted += mean / (weighted.max() ?? mean)
      result.perBatch += mean / Double(max(most, 1))
      result.roundRobin += mean / Double(max(whole.max() ?? 1, 1))
    }
    let scale = 1 / Double(batches)
    result.even *= scale
    result.weighted *= scale
    result.perBatch *= scale
    result.roundRobin *= scale
    return result
  }
}

/// Draws from a discrete distribution in constant time, by the alias method.
struct AliasTable {
  private var threshold: [Double]
  private var alias: [Int]

  init(weights: [Double]) {
    let total = max(weights.reduce(0, +), 1e-300)
    threshold = weights.map { $0 / total * Double(weights.count) }
    alias = Array(weights.indices)
    var small = threshold.indices.filter { threshold[$0] < 1 }
    var large = threshold.indices.filter { threshold[$0] >= 1 }
    while let low = small.popLast(), let high = large.last {
      alias[low] = high
      threshold[high] -= 1 - threshold[low]
      if threshold[high] < 1 {
        large.removeLast()
        small.append(high)
      }
    }
  }

  mutating func draw(_ random: inout SeededRandom) -> Int {
    let index = random.below(threshold.count)
    return random.unit() < threshold[index] ? index : alias[index]
  }
}
