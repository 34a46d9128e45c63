public import EPPlacement

/// Where tokens go: what simulated routers choose.
public struct RoutingSource: Sendable {
  /// How choices come about.
  public enum Kind: Sendable {
    /// Every expert gets exactly its share of the loads: what estimates assume.
    case mean
    /// Every token draws its experts, more popular ones more often.
    case drawn
    /// Tokens choose what recorded ones chose: choices of a layer, `topK` a token, -1 for none.
    case recorded([Int: [Int32]])
  }

  /// How choices come about.
  public var kind: Kind
  /// How popular experts are; all alike if nil.
  public var loads: LoadSource?
  /// What draws depend on.
  public var seed: UInt64

  /// Makes a source.
  public init(_ kind: Kind = .drawn, loads: LoadSource? = nil, seed: UInt64 = 0) {
    self.kind = kind
    self.loads = loads
    self.seed = seed
  }
}

/// Experts drawn in constant time: Walker's alias method, in integers.
struct AliasTable {
  /// Below it, of 2^32, a bin gives its own expert.
  private(set) var threshold: [UInt32]
  /// The expert that a bin gives otherwise.
  private(set) var alias: [UInt32]

  init(weights: [Double]) {
    let total = weights.reduce(0, +)
    let count = Double(weights.count)
    var share = total > 0 ? weights.map { $0 / total * count } : weights.map { _ in 1 }
    alias = weights.indices.map { UInt32($0) }
    var small = share.indices.filter { share[$0] < 1 }
    var large = share.indices.filter { share[$0] >= 1 }
    while let low = small.popLast() {
      guard let high = large.last else { break }
      alias[low] = UInt32(high)
      share[high] -= 1 - share[low]
      if share[high] < 1 {
        large.removeLast()
        small.append(high)
      }
    }
    threshold = share.map { UInt32(clamping: Int(min($0, 1) * 4_294_967_295)) }
  }
}
