internal import EPIR
internal import EPModel
internal import EPPlan

/// One period of a repeated layer's schedule: what each stream does, micro-batch by micro-batch.
struct Timeline: Sendable {
  /// What a stream does without changing its subject: neighbouring kernels of one part of a layer.
  struct Segment {
    /// The micro-batch.
    var batch: Int
    /// The stream.
    var stream: ShardedFunction.Stream
    /// The part of the layer.
    var phase: Phase
    /// Nanoseconds from the period's start; it may end in the next period.
    var start: Int
    /// Nanoseconds.
    var duration: Int
    /// How many layers before the one whose first job opens the period it belongs to.
    var layersBefore: Int
    /// Its kernels: names with nanoseconds from the segment's start, and their own.
    var kernels: [(name: String, start: Int, duration: Int)]
  }

  /// Parts of a layer that people tell apart.
  enum Phase: String, CaseIterable {
    case attention, router, dispatch, experts, combine
    case shared = "shared experts"
    case feedForward = "feed-forward"
    case send, receive
    case collective

    /// Whether it is a half of an exchange that runs on the compute stream.
    var isHook: Bool { self == .send || self == .receive }
  }

  /// The model, pool and function.
  let title: String
  /// Figures of the schedule.
  let subtitle: String
  /// The schedule.
  let schedule: LayerSchedule
  /// What happens in a period, by start.
  let segments: [Segment]
  /// Every job of a micro-batch with its name and part.
  let names: [(name: String, phase: Phase)]
  /// Layers that run so.
  let layers: [Int]

  /// The schedule of a function of a pool of a verified plan; without a name, of the scheduled
  /// function that most layers call. Nil where there is none.
  init?(_ plan: Plan, pool poolIndex: Int, function name: String?) {
    guard plan.pools.indices.contains(poolIndex) else { return nil }
    let pool = plan.pools[poolIndex]
    let calls = PoolSummary(pool: pool).layerCalls.filter {
      pool.functions[$0.function].schedule != nil
        && (name == nil || pool.functions[$0.function].function.name == name)
    }
    let most = calls.map(\.layers.count).max() ?? 0
    guard let call = calls.first(where: { $0.layers.count == most }),
      let schedule = pool.functions[call.function].schedule
    else { return nil }
    let sharded = pool.functions[call.function]
    self.schedule = schedule
    layers = call.layers
    title = Escaping.shortened(
      Escaping.printable(
        "\(plan.model.name), \(pool.role.rawValue): \(sharded.function.name), "
          + "layer\(layers.count == 1 ? "" : "s") \(Units.runs(layers))"), to: 100)
    let parts = schedule.microBatches
    subtitle =
      (parts == 1 ? "one batch of " : "\(parts) micro-batches of at most ")
      + Units.plural(pool.batchTokens, "token")
      + "; a layer takes \(Units.nanoseconds(schedule.period)), "
      + "\(Units.decimal(schedule.gap * 100, digits: 1)) % above the least possible"
    names = Timeline.names(of: sharded, schedule, precision: plan.model.precision)
    segments = Timeline.segments(schedule, names)
  }

  /// The part of the layer that each operation belongs to. What stands between parts (norms,
  /// residual sums) goes with what follows.
  private static func phases(of sharded: ShardedFunction) -> [Phase] {
    let operations = sharded.function.operations
    func root(_ operation: Operation) -> Substring {
      operation.scope.split(separator: ".").first ?? ""
    }
    let mixing = Set(operations.filter { OpFamily($0.kind) == .mixing }.map(root))
    let hasExperts = operations.contains { $0.kind == .dispatch }
    var phases: [Phase?] = operations.map { operation in
      switch operation.kind {
      case .dispatch: return .dispatch
      case .combine: return .combine
      default: break
      }
      if operation.kind.isCollective { return .collective }
      if operation.scope.contains("shared_expert") { return .shared }
      if operation.scope.contains("{expert}") { return .experts }
      if !root(operation).isEmpty && mixing.contains(root(operation)) { return .attention }
      if operation.kind == .binary || operation.kind == .norm { return nil }
      return hasExperts ? .router : .feedForward
    }
    var next: Phase?
    for index in phases.indices.reversed() {
      if let own = phases[index] {
        if own != .dispatch && own != .combine && own != .collective { next = own }
      } else {
        phases[index] = next
      }
    }
    var last = Phase.attention
    return phases.map { phase in
      if let phase, phase != .dispatch && phase != .combine && phase != .collective {
        last = phase
      }
      return phase ?? last
    }
  }

  private static func names(
    of sharded: ShardedFunction, _ schedule: LayerSchedule, precision: Precision
  ) -> [(String, Phase)] {
    let phases = phases(of: sharded)
    var isUnderWay = Array(repeating: false, count: phases.count)
    return schedule.jobs.map { job in
      let operation = sharded.function.operations[job.operation]
      let label = OpLabel(operation, in: sharded, precision: precision, traffic: nil)
      if job.stream == .communication {
        isUnderWay[job.operation] = true
        return (label.title, phases[job.operation])
      }
      if operation.kind.isCollective {
        let isAfter = isUnderWay[job.operation]
        return ("\(label.title) \(isAfter ? "receive" : "send")", isAfter ? .receive : .send)
      }
      return (label.title, phases[job.operation])
    }
  }

  /// Jobs joined to segments, at their places in a period.
  private static func segments(
    _ schedule: LayerSchedule, _ names: [(name: String, phase: Phase)]
  ) -> [Segment] {
    var segments: [Segment] = []
    for (batch, starts) in schedule.starts.enumerated() {
      for stream in ShardedFunction.Stream.allCases {
        let own = schedule.jobs.indices.filter {
          schedule.jobs[$0].stream == stream && schedule.jobs[$0].duration > 0
        }.sorted { (starts[$0], $0) < (starts[$1], $1) }
        var open: Segment?
        for job in own {
          let (name, phase) = names[job]
          let duration = schedule.jobs[job].duration
          if var last = open, last.phase == phase, last.start + last.duration == starts[job] {
            last.kernels.append((name, last.duration, duration))
            last.duration += duration
            open = last
            continue
          }
          if let open { segments.append(open) }
          open = Segment(
            batch: batch, stream: stream, phase: phase, start: starts[job], duration: duration,
            layersBefore: 0, kernels: [(name, 0, duration)])
        }
        if let open { segments.append(open) }
      }
    }
    let period = max(schedule.period, 1)
    return segments.map { segment in
      var segment = segment
      segment.layersBefore = segment.start / period
      segment.start %= period
      return segment
    }.sorted { ($0.start, $0.stream.rawValue, $0.batch) < ($1.start, $1.stream.rawValue, $1.batch) }
  }

  /// The stretches of a period in which nothing is computed.
  var exposed: [Range<Int>] {
    var busy: [Range<Int>] = []
    for segment in segments where segment.stream == .compute {
      let end = segment.start + segment.duration
      busy.append(segment.start..<min(end, schedule.period))
      if end > schedule.period { busy.append(0..<(end - schedule.period)) }
    }
    var free: [Range<Int>] = []
    var reached = 0
    for range in busy.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if range.lowerBound > reached { free.append(reached..<range.lowerBound) }
      reached = max(reached, range.upperBound)
    }
    if reached < schedule.period { free.append(reached..<schedule.period) }
    return free
  }
}

extension Units {
  /// Nanoseconds as people read them: `850 ns`, `71.5 us`, `1.42 ms`.
  static func nanoseconds(_ count: Int) -> String {
    let value = Double(count)
    if count < 1000 { return "\(count) ns" }
    func text(_ value: Double, _ unit: String) -> String {
      decimal(value, digits: value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + unit
    }
    return value < 999_500 ? text(value / 1e3, "us") : text(value / 1e6, "ms")
  }
}
