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
    /// What a low-latency exchange runs on the compute stream to send or to receive, by the rows over
    /// the rank's own links: an index into `IssueList.halves`, and whether those are the links in.
    case half(Int, isInward: Bool)
    /// The same for all members of a group, from the last one's start on.
    case collective(Mesh.Group, Ticks)
    /// To the same place of the next stage.
    case send(Ticks)
    /// From the same place of the stage before.
    case receive
  }

  /// What a job waits for: the end of an earlier one.
  public struct Wait: Hashable, Sendable {
    /// The event that the earlier job keeps.
    public var event: Int
    /// How many layers earlier that job belongs to.
    public var distance = 0
    /// Ticks from its end on; negative where the later job may start before.
    public var shift: Ticks = 0
  }

  /// What it is, as `epc estimate --explain` shows it.
  public var name: String
  /// What it is added up with.
  public var part: OpEstimate.Part
  /// The queue it is issued on.
  public var stream: ShardedFunction.Stream
  /// How long it takes.
  public var duration: Duration
  /// What it waits for beside the jobs issued on its stream before it.
  public var waits: [Wait]
  /// The event that its end is kept as, if others wait for it.
  public var event: Int?

  /// Whether it waits for other ranks.
  var meetsOthers: Bool {
    switch duration {
    case .exchange, .collective, .send, .receive: return true
    case .fixed, .routed, .half: return false
    }
  }
}

/// The jobs of one call of a function, and the order in which they are issued, the same on all ranks.
///
/// With a schedule they are those of all micro-batches of a layer, and the order runs through as many
/// layers as follow each other: what a list does not say, nobody assumes.
public struct IssueList: Sendable {
  /// The next job to issue.
  public struct Issue: Hashable, Sendable {
    /// When it is to start, in nanoseconds, by the plan's schedule.
    public var start: Int
    /// The layer, as an index into those that the call runs.
    public var layer: Int
    /// The micro-batch, as an index into those that the call runs.
    public var batch: Int
    /// The job, as an index into the list's.
    public var job: Int
  }

  /// The function's name.
  public var name: String
  /// The jobs, in order of issue; with a schedule those of each micro-batch, one after the other.
  public var jobs: [Job]
  /// Events that the jobs of a layer keep.
  public var eventCount: Int
  /// Layers whose events are kept at a time.
  public var keptLayers = 1
  /// Kernels whose time depends on routed rows.
  var routed: [RoutedKernel]
  /// Exchanges of routed rows.
  var exchanges: [RoutedExchange]
  /// Tables of what low-latency exchanges run on the compute stream, by the ratio of links.
  var halves: [LoadTable] = []
  /// Makes the order of issue through so many layers; nil runs the jobs as they are in the list.
  var schedule: LayerSchedule?

  /// The order of issue through some layers.
  func order(layers: Int) -> [Issue] {
    guard let schedule else {
      return jobs.indices.map { Issue(start: 0, layer: 0, batch: 0, job: $0) }
    }
    let count = schedule.jobs.count
    var order: [Issue] = []
    for layer in 0..<layers {
      for (batch, starts) in schedule.starts.enumerated() {
        for (job, start) in starts.enumerated() {
          order.append(
            Issue(
              start: start + layer * schedule.period, layer: layer, batch: batch,
              job: batch * count + job))
        }
      }
    }
    // Nothing waits for what comes behind it in this order: jobs are listed so in a layer.
    return order.sorted {
      ($0.start, $0.layer, $0.batch, $0.job) < ($1.start, $1.layer, $1.batch, $1.job)
    }
  }
}
