/// The slots that experts are placed into, and which of them are near each other.
public struct PlacementShape: Hashable, Sendable {
  /// The most ranks, and the most slots of a layer.
  public static let most: Int = 1 << 20

  /// Logical experts of a layer.
  public let experts: Int
  /// Expert ranks.
  public let ranks: Int
  /// Slots of a rank.
  public let slotsPerRank: Int
  /// Nodes, each of `ranks / nodes` consecutive ranks.
  public let nodes: Int
  /// Groups of consecutive experts that routing chooses among; 1 when it does not.
  public let groups: Int

  /// Makes a shape; throws when the sizes do not divide or the slots are too few or too many.
  public init(
    experts: Int, ranks: Int, slotsPerRank: Int, nodes: Int = 1, groups: Int = 1
  ) throws(PlacementError) {
    guard experts > 0, ranks > 0, slotsPerRank > 0, nodes > 0, groups > 0 else {
      throw .shape("experts, ranks, slots, nodes and groups must be positive")
    }
    let (slots, overflow) = ranks.multipliedReportingOverflow(by: slotsPerRank)
    guard !overflow && slots >= experts else {
      throw .shape("\(ranks) ranks of \(slotsPerRank) slots cannot hold \(experts) experts")
    }
    guard slots <= Self.most else {
      throw .shape("\(ranks) ranks of \(slotsPerRank) slots; a layer has at most 2^20 slots")
    }
    guard slotsPerRank <= experts else {
      throw .shape("a rank with \(slotsPerRank) slots would hold one of \(experts) experts twice")
    }
    guard ranks % nodes == 0 else {
      throw .shape("\(ranks) ranks cannot be split evenly over \(nodes) nodes")
    }
    guard experts % groups == 0 else {
      throw .shape("\(experts) experts cannot be split evenly into \(groups) groups")
    }
    self.experts = experts
    self.ranks = ranks
    self.slotsPerRank = slotsPerRank
    self.nodes = nodes
    self.groups = groups
  }

  /// Makes a shape from redundant experts, which must fill the ranks evenly.
  public init(
    experts: Int, redundant: Int, ranks: Int, nodes: Int = 1, groups: Int = 1
  ) throws(PlacementError) {
    guard (1...Self.most).contains(ranks), (1...Self.most).contains(experts),
      (0...Self.most).contains(redundant)
    else {
      throw .shape(
        "\(experts) experts, \(redundant) redundant ones and \(ranks) ranks; experts and ranks are from "
          + "1 to 2^20, redundant experts from 0")
    }
    let slots = experts + redundant
    guard slots % ranks == 0 else {
      let fix = (slots + ranks - 1) / ranks * ranks - experts
      throw .shape(
        "\(experts) experts and \(redundant) redundant ones cannot be split evenly over \(ranks) "
          + "ranks; take \(fix) redundant ones")
    }
    try self.init(
      experts: experts, ranks: ranks, slotsPerRank: slots / ranks, nodes: nodes, groups: groups)
  }

  /// All slots of a layer.
  public var slots: Int { ranks * slotsPerRank }
  /// Slots beyond one for each expert.
  public var redundant: Int { slots - experts }
  /// Whether whole groups can stay in a node, and each node has room for its experts.
  public var canKeepGroups: Bool {
    groups % nodes == 0 && slotsPerRank <= experts / nodes && slots / nodes >= experts / nodes
  }

  /// The node of a rank.
  public func node(of rank: Int) -> Int { rank / (ranks / nodes) }
}
