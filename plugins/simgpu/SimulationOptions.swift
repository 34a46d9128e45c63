/// What a simulation is asked for.
public struct SimulationOptions: Sendable {
  /// Steps of each pool.
  public var steps: Int
  /// Where tokens go.
  public var routing: RoutingSource
  /// In so many steps the routing of every layer is drawn anew, a part of the layers each step; 0
  /// keeps the first draw.
  public var resampling: Int
  /// Threads that draw. Results do not depend on it.
  public var threads: Int
  /// Bandwidth of a node's uplinks over that of its devices' together; 1 is a full fabric.
  public var uplinkShare: Double
  /// Ranks whose jobs are kept, for timelines.
  public var probes: [Int]
  /// Steps at the end whose jobs are kept.
  public var probedSteps: Int
  /// What goes wrong.
  public var faults: FaultSchedule
  /// Whether a run goes on without a rank that is lost.
  public var recovers: Bool
  /// Devices that stand by to take a lost one's place.
  public var spares: Int
  /// Whether rows from rank to rank are counted, for pools of at most `mostTrafficRanks`.
  public var keepsTraffic: Bool

  /// The most ranks of a traffic matrix.
  public static let mostTrafficRanks = 1024

  /// Makes options for so many steps.
  public init(steps: Int = 16, routing: RoutingSource = RoutingSource()) {
    self.steps = steps
    self.routing = routing
    resampling = 16
    threads = 1
    uplinkShare = 1
    probes = []
    probedSteps = 1
    keepsTraffic = false
    faults = FaultSchedule()
    recovers = false
    spares = 0
  }
}
