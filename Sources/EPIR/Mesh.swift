/// How the ranks of a pool are arranged: stages of `dp` groups of `tp` ranks.
///
/// Rank `r` of a pool is tensor rank `r % tp` of data group `r / tp % dp` in stage `r / (tp * dp)`.
/// Experts are spread over the same ranks. Where `ep` is a multiple of `tp`, consecutive ranks of a
/// stage form an expert group and every rank holds whole experts; where it is not, an expert group
/// is `ep` data groups, and each expert is split over the `tp` ranks of one.
public struct Mesh: Hashable, Sendable {
  /// Pipeline stages.
  public var pp: Int
  /// Data groups of a stage: each works on sequences of its own.
  public var dp: Int
  /// Ranks that share the heads and feed-forwards of a data group.
  public var tp: Int
  /// Ranks (or data groups) that share the routed experts.
  public var ep: Int

  /// Makes a mesh; `problem` says whether it can be.
  public init(pp: Int = 1, dp: Int = 1, tp: Int = 1, ep: Int = 1) {
    self.pp = pp
    self.dp = dp
    self.tp = tp
    self.ep = ep
  }

  /// Ranks of a stage.
  public var stageRanks: Int { dp * tp }
  /// Ranks of the pool.
  public var ranks: Int { pp * dp * tp }
  /// Whether every rank holds whole experts, rather than a tensor-parallel part of each.
  public var holdsWholeExperts: Bool { ep % tp == 0 }
  /// Over how many ranks each expert is split.
  public var expertTensorParts: Int { holdsWholeExperts ? 1 : tp }
  /// How many copies of all experts a stage holds.
  public var expertCopies: Int { holdsWholeExperts ? stageRanks / ep : dp / ep }

  /// Why the mesh cannot be, or nil.
  public var problem: String? {
    for (name, size) in [("pp", pp), ("dp", dp), ("tp", tp), ("ep", ep)]
    where size < 1 || size > 1 << 20 {
      return "\(name) is \(size); it is at least 1 and at most 2^20"
    }
    if ranks > 1 << 20 { return "\(ranks) ranks; a pool has at most 2^20" }
    if holdsWholeExperts {
      if stageRanks % ep != 0 {
        return "ep \(ep) does not divide the \(stageRanks) ranks of a stage (dp \(dp) x tp \(tp))"
      }
    } else if dp % ep != 0 {
      return "ep \(ep) is neither a multiple of tp \(tp) nor a divisor of dp \(dp)"
    }
    return nil
  }

  /// Where a rank stands.
  public struct Coordinates: Hashable, Sendable {
    /// Pipeline stage.
    public var stage: Int
    /// Data group in the stage.
    public var data: Int
    /// Tensor rank in the data group.
    public var tensor: Int
    /// Expert rank in its expert group.
    public var expert: Int
    /// Which copy of the experts it belongs to.
    public var expertCopy: Int
  }

  /// Where a rank of the pool stands.
  public func coordinates(of rank: Int) -> Coordinates {
    precondition(rank >= 0 && rank < ranks, "no such rank")
    let within = rank % stageRanks
    let (data, tensor) = (within / tp, within % tp)
    return Coordinates(
      stage: rank / stageRanks, data: data, tensor: tensor,
      expert: holdsWholeExperts ? within % ep : data % ep,
      expertCopy: holdsWholeExperts ? within / ep : data / ep)
  }

  /// A set of ranks that meet in a collective.
  public enum Group: String, Hashable, Sendable, CaseIterable {
    /// The tensor ranks of a data group.
    case tensor = "tp"
    /// The ranks that exchange tokens for experts.
    case expert = "ep"
    /// The same place in the previous and next stage.
    case pipeline = "pp"
  }

  /// The ranks of the pool in the group that `rank` belongs to, in the group's order.
  public func members(of group: Group, with rank: Int) -> [Int] {
    let own = coordinates(of: rank)
    let stage = own.stage * stageRanks
    switch group {
    case .tensor: return (0..<tp).map { stage + own.data * tp + $0 }
    case .expert:
      if holdsWholeExperts { return (0..<ep).map { stage + own.expertCopy * ep + $0 } }
      return (0..<ep).map { stage + (own.expertCopy * ep + $0) * tp + own.tensor }
    case .pipeline: return (0..<pp).map { $0 * stageRanks + rank % stageRanks }
    }
  }

  /// Ranks in a group.
  public func size(of group: Group) -> Int {
    switch group {
    case .tensor: return tp
    case .expert: return ep
    case .pipeline: return pp
    }
  }
}

extension Mesh: CustomStringConvertible {
  /// `pp1 dp8 tp4 ep32`.
  public var description: String { "pp\(pp) dp\(dp) tp\(tp) ep\(ep)" }
}
