public import EPCost
public import EPIR
public import EPModel
public import EPPlan

/// Everything about a pool but how much a step of it holds.
public struct PoolShape: Hashable, Sendable {
  /// What it does; unified pools read chunks of prompts beside the sequences that decode.
  public var role: Pool.Role
  /// How an instance's ranks are arranged.
  public var mesh: Mesh
  /// Slots of an expert rank; 0 for a model without experts.
  public var slotsPerRank: Int
  /// MTP depths.
  public var drafts: Int
  /// Whether All-to-All takes the low-latency kernels.
  public var isLowLatency: Bool
  /// The number formats of weights.
  public var precision: Precision
  /// The number format attention reads its cache and computes in.
  public var attention: Precision.Format
}

/// A pool and how much a step of it holds, with what follows.
public struct PoolPoint: Hashable, Sendable {
  /// The pool.
  public var shape: PoolShape
  /// Sequences of a data group that decode; 0 for prefill.
  public var sequences: Int
  /// Tokens of prompts of a data group in one step; 0 for decode.
  public var promptTokens: Int
  /// Seconds of a step; of a unified pool on average.
  public var step: Double
  /// Seconds of a step that carries tokens of prompts; 0 for decode.
  public var promptStep: Double
  /// Seconds between tokens of a sequence; 0 for prefill.
  public var timePerToken: Double
  /// Seconds until a prompt is read: without waiting in a prefill pool, with it in a unified one.
  public var timeToFirstToken: Double
  /// The same of a prompt that waits for no other one.
  public var readingTime: Double
  /// Requests a second that an instance takes, if nothing else limits them.
  public var requestRate: Double
  /// Mean over largest load of expert ranks.
  public var balancedness: Double
  /// How micro-batches share a device.
  public var overlap: OverlapChoice

  /// Devices of an instance.
  public var devices: Int { shape.mesh.ranks }

  /// Sizes and times tell nearly all points apart, in a part of the time.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(sequences)
    hasher.combine(promptTokens)
    hasher.combine(step)
  }
}

/// Points of which none is at least as good as another in both respects.
struct Front {
  /// What is small when good, and what is large when good.
  private(set) var entries: [(cost: Double, gain: Double, point: PoolPoint)] = []

  /// Whether some entry is as good in both respects.
  func dominates(cost: Double, gain: Double) -> Bool {
    // Ascending by cost and, as none is dominated, by gain: the last one that is not dearer has the
    // most gain.
    let low = entries.prefixCount { $0.cost <= cost }
    return low > 0 && entries[low - 1].gain >= gain
  }

  /// Adds a point unless it is dominated, and drops those that it dominates.
  mutating func insert(_ point: PoolPoint, cost: Double, gain: Double) {
    if dominates(cost: cost, gain: gain) { return }
    entries.removeAll { $0.cost >= cost && $0.gain <= gain }
    let place = entries.firstIndex { $0.cost > cost } ?? entries.count
    entries.insert((cost, gain, point), at: place)
  }
}
