internal import CEPSimulation
public import EPCost
internal import EPIR
public import EPPlan

/// What came of simulating a pool.
public struct PoolOutcome: Sendable {
  /// A job of a probed rank.
  public struct Span: Hashable, Sendable {
    /// The rank in its pool.
    public var rank: Int
    /// The layer, or -1 for embedding and head.
    public var layer: Int
    /// The micro-batch.
    public var batch: Int
    /// What it is.
    public var name: String
    /// What it is added up with.
    public var part: OpEstimate.Part
    /// The stream it ran on.
    public var stream: ShardedFunction.Stream
    /// When it began.
    public var start: Ticks
    /// When it ended.
    public var end: Ticks
  }

  /// Times of collectives, in classes of powers of two of microseconds.
  public struct Histogram: Hashable, Sendable {
    /// The upper ends of the classes, in microseconds; the last class has none.
    public static let limits: [Double] = (0..<18).map { Double(1 << $0) }
    /// Collectives in each class.
    public var counts = Array(repeating: 0, count: Histogram.limits.count + 1)
    /// The sum of all times.
    public var sum: Ticks = 0
    /// The longest that a member waited for the last one of its group.
    public var longestWait: Ticks = 0

    /// Collectives.
    public var count: Int { counts.reduce(0, +) }

    mutating func add(_ time: Ticks, wait: Ticks) {
      let microseconds = Double(time) / 1e6
      let place = Histogram.limits.firstIndex { microseconds <= $0 } ?? Histogram.limits.count
      counts[place] += 1
      sum += time
      longestWait = max(longestWait, wait)
    }
  }

  /// How the rows of a layer fall on ranks and experts, over the draws so far.
  public struct LayerLoad: Hashable, Sendable {
    /// The layer.
    public var layer: Int
    /// Draws.
    public var draws = 0
    /// The sum of mean over maximum of the ranks' rows.
    var balance = 0.0
    /// The most rows that a rank got in a micro-batch.
    public var mostRows = 0
    /// Rows that the plan has room for on a rank in a micro-batch.
    public var capacity: Int
    /// Tokens that chose each logical expert, in all draws.
    public var experts: [Int]
    /// Rows of each rank of the stage in the latest draw, of one micro-batch.
    public var ranks: [Int] = []
    /// Draws in which a rank got more rows than there is room for.
    public var overflows = 0

    /// Mean over maximum of the ranks' rows, averaged over draws.
    public var balancedness: Double { draws > 0 ? balance / Double(draws) : 1 }
  }

  /// What the pool does.
  public var role: Pool.Role
  /// Ticks of each step, from the last rank's end to the last rank's end.
  public var steps: [Ticks] = []
  /// Ticks in all.
  public var elapsed: Ticks = 0
  /// Jobs times ranks.
  public var events = 0
  /// Seconds from one step to the next by the plan's schedules and, of what has none, one operation
  /// after the other: what `epc estimate` says of the plan.
  public var predicted = 0.0
  /// Whether schedules have a part in `predicted`.
  public var isScheduled = false
  /// The share of the time that each rank's compute stream was in use.
  public var computeUse: [Double] = []
  /// The share that its communication stream was, waiting for peers included.
  public var communicationUse: [Double] = []
  /// Layers with experts.
  public var layers: [LayerLoad] = []
  /// Times of collectives by part: dispatch, combine and others.
  public var collectives: [OpEstimate.Part: Histogram] = [:]
  /// Jobs of probed ranks.
  public var spans: [Span] = []
  /// Rows from each member of an expert group to each other, over the first draws of all layers; empty if
  /// not kept.
  public var traffic: [[Int]] = []
  private var places: [[Int]]

  init(_ pool: Pool, stages: [StageProgram], keepsTraffic: Bool) {
    role = pool.role
    places = []
    for stage in stages {
      var own: [Int] = []
      for routing in stage.routings {
        // Micro-batches of a layer are counted together.
        if let known = layers.lastIndex(where: { $0.layer == routing.layer }) {
          own.append(known)
          continue
        }
        own.append(layers.count)
        layers.append(
          LayerLoad(
            layer: routing.layer,
            capacity: pool.functions[routing.placement.function].routedCapacity,
            experts: Array(repeating: 0, count: routing.shape.experts)))
      }
      places.append(own)
    }
    if keepsTraffic && !layers.isEmpty {
      traffic = Array(
        repeating: Array(repeating: 0, count: pool.mesh.ep), count: pool.mesh.ep)
    }
  }

  /// Seconds of a step on average, the first left out if there are more: its ranks start together.
  public var stepSeconds: Double {
    let counted = steps.count > 1 ? steps.dropFirst() : steps[...]
    return counted.reduce(0) { $0 + $1.seconds } / Double(max(counted.count, 1))
  }

  /// What simulated steps take on average over what was predicted, less one.
  public var deviation: Double { predicted > 0 ? stepSeconds / predicted - 1 : 0 }

  /// Seconds of the step that so large a share of steps is no longer than.
  public func stepSeconds(percentile: Double) -> Double {
    let sorted = steps.sorted()
    if sorted.isEmpty { return 0 }
    return sorted[min(Int(percentile * Double(sorted.count)), sorted.count - 1)].seconds
  }

  /// The share of the time in which the average rank computes nothing: communication that shows.
  public var exposedCommunication: Double {
    computeUse.isEmpty ? 0 : 1 - computeUse.reduce(0, +) / Double(computeUse.count)
  }

  /// Mean over maximum of the rows of expert ranks, averaged over layers; 1 without experts.
  public var balancedness: Double {
    layers.isEmpty ? 1 : layers.reduce(0) { $0 + $1.balancedness } / Double(layers.count)
  }

  // MARK: Taking notes

  mutating func note(_ routing: LayerRouting, stage: Int, index: Int, isFirst: Bool) {
    let place = places[stage][index]
    let rows = routing.rows.array.map { Int($0) }
    let most = rows.max() ?? 0
    let mean = Double(rows.reduce(0, +)) / Double(max(rows.count, 1))
    layers[place].draws += 1
    layers[place].balance += most > 0 ? mean / Double(most) : 1
    layers[place].mostRows = max(layers[place].mostRows, most)
    layers[place].ranks = rows
    if layers[place].capacity > 0 && most > layers[place].capacity {
      layers[place].overflows += 1
    }
    for (expert, count) in routing.expertRows.array.enumerated() {
      layers[place].experts[expert] += Int(count)
    }
    if isFirst, !traffic.isEmpty, let pairs = routing.pairs {
      let members = traffic.count
      for from in 0..<members {
        for to in 0..<members { traffic[from][to] += Int(pairs[from * members + to]) }
      }
    }
  }

  mutating func note(_ part: OpEstimate.Part, _ went: epc_exchange_outcome) {
    collectives[part, default: Histogram()].add(went.longest, wait: went.longest_wait)
  }

  mutating func take(_ simulation: PoolSimulation, step: Int, begin: Ticks) {
    let end = simulation.clocks.last?.end ?? 0
    steps.append(end - begin)
    elapsed = end
    guard step + 1 == simulation.options.steps else { return }
    let all = Double(Swift.max(end - simulation.started, 1))
    for clocks in simulation.clocks {
      for rank in 0..<clocks.ranks {
        computeUse.append(Double(clocks.busyCompute(rank)) / all)
        communicationUse.append(Double(clocks.communicationBusy[rank]) / all)
      }
    }
  }

  // MARK: Probes

  func begin(
    _ job: Job, _ kept: StageClocks.Events, _ clocks: StageClocks, _ probes: [Int], stage: Int
  ) -> [(Int, Ticks)] {
    probes.compactMap { probe in
      let rank = probe - stage * clocks.ranks
      guard rank >= 0 && rank < clocks.ranks else { return nil }
      var start = clocks.clock(of: job.stream)[rank]
      for wait in job.waits {
        guard let place = kept.place(wait.event, before: wait.distance) else { continue }
        start = max(start, clocks.events[place][rank] + wait.shift)
      }
      return (rank, start)
    }
  }

  mutating func end(
    _ job: Job, _ clocks: StageClocks, _ begun: [(Int, Ticks)], layer: Int, batch: Int, stage: Int
  ) {
    for (rank, start) in begun {
      let end = clocks.clock(of: job.stream)[rank]
      if end == start { continue }
      spans.append(
        Span(
          rank: rank + stage * clocks.ranks, layer: layer, batch: batch, name: job.name,
          part: job.part, stream: job.stream, start: start, end: end))
    }
  }
}
