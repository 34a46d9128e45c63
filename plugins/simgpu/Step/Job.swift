public import EPCost
public import EPIR
public import EPPlan

/// What one rank issues for an operation of a function: a kernel, or its part of a collective.
public struct Job: Sendable {
  /// How long it takes.
  public enum Duration: Sendable {
    /// As long on every rank; ranks do not meet.
    case fixed(Ticks)
    /// By the rows of the rank's experts: an index into `IssueList.routed`.
    case routed(Int)
    /// By the bytes over the links of every member of an expert group: an index into
    /// `IssueList.exchanges`.
    case exchange(Int)
    /// The same for all members of a group, from the last one's start on.
    case collective(Mesh.Group, Ticks)
    /// To the same place of the next stage.
    case send(Ticks)
    /// From the same place of the stage before.
    case receive
  }

  /// What it is, as `epc estimate --explain` shows it.
  public var name: String
  /// What it is added up with.
  public var part: OpEstimate.Part
  /// The queue it is issued on.
  public var stream: ShardedFunction.Stream
  /// How long it takes.
  public var duration: Duration
  /// The events of earlier jobs of the list that it waits for.
  public var waits: [Int]
  /// The event that its end is kept as, if others wait for it.
  public var event: Int?
}

/// The jobs of one call of a function in the order in which they are issued, the same on all ranks.
///
/// A schedule that interleaves micro-batches is such a list too: what a list does not say, nobody
/// assumes.
public struct IssueList: Sendable {
  /// The function's name.
  public var name: String
  /// The jobs, in order of issue.
  public var jobs: [Job]
  /// Events that jobs keep.
  public var eventCount: Int
  /// Kernels whose time depends on routed rows.
  var routed: [RoutedKernel]
  /// Exchanges of routed rows.
  var exchanges: [RoutedExchange]
}
