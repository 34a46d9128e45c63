internal import CEPSimulation
internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan
internal import EPSchedule

extension IssueList {
  /// The jobs of a scheduled layer in all its micro-batches, with what they wait for; what they take
  /// beside each other is the estimator's, with the multiprocessors that the schedule gives exchanges.
  ///
  /// Streams run their jobs in the order in which the schedule starts them, each as soon as what it
  /// waits for is done: with the times that were scheduled that is no later than scheduled, and with
  /// others it is what queues on a device do.
  init(
    scheduled index: Int, by planned: LayerSchedule, layer: Int, estimator: StepEstimator
  ) {
    let sharded = estimator.pool.functions[index]
    let contention =
      planned.multiprocessors.map { Contention(exchangeMultiprocessors: $0) } ?? Contention()
    let kernels = RoutedSamples(function: index, layer: layer, estimator, sampling: false)
    let loop = LayerLoop(
      sharded, estimate: kernels.even, microBatches: planned.microBatches, contention: contention,
      hardware: estimator.model.hardware)
    let schedule = planned.fitted(to: loop.jobs, of: sharded.function)
    self.init(name: sharded.function.name, jobs: [], eventCount: 0, routed: [], exchanges: [])
    self.schedule = schedule
    for (number, source) in loop.sources.enumerated() {
      let first = kernels.twice[source.kernels[0]]
      let operation = sharded.function.operations[loop.jobs[number].operation]
      jobs.append(
        Job(
          name: source.role == .whole ? first.name : first.name + " kernels", part: first.part,
          stream: loop.jobs[number].stream,
          duration: duration(
            of: source, kernels, planned: loop.jobs[number].duration, operation,
            gap: Ticks(seconds: loop.gap), model: estimator.model),
          waits: [], event: nil))
    }
    let one = jobs
    for _ in 1..<schedule.microBatches { jobs += one }
    addWaits(loop, schedule, sharded)
  }

  private mutating func duration(
    of source: LayerLoop.Source, _ kernels: RoutedSamples, planned nanoseconds: Int,
    _ operation: Operation, gap: Ticks, model: CostModel
  ) -> Job.Duration {
    let first = kernels.twice[source.kernels[0]]
    let other = kernels.fourfold[source.kernels[0]]
    let ticks = Ticks(nanoseconds) * 1000
    switch first.kernel {
    case .exchange(let exchange):
      if source.role == .whole {
        // Barriers take a share of the exchange: what the plan's figures say beyond what skew shows.
        let barrier = source.kernels.dropFirst().reduce(0.0) { sum, number in
          let alone = model.time(of: kernels.twice[number].kernel).value
          return sum + kernels.twice[number].time.value / max(alone, 1e-12)
        }
        exchanges.append(
          RoutedExchange(exchange, model: model, slowdown: source.slowdown, barrier: barrier))
        return .exchange(exchanges.count - 1)
      }
      let even = RoutedExchange(exchange, model: model)
      let share = source.alone / max(model.time(of: .exchange(even.exchange)).value, 1e-12)
      halves.append(even.table.scaled(by: share))
      return .half(
        halves.count - 1, isInward: (source.role == .receiving) != exchange.isCombine)
    case .collective(let collective):
      if collective.form == .pointToPoint { return .send(ticks) }
      return .collective(Mesh.Group(rawValue: operation.attributes.text("group")) ?? .tensor, ticks)
    default:
      if first.kernel == other.kernel || kernels.mean <= 0 { return .fixed(ticks) }
      routed.append(
        kernels.routed(
          first, other, gap: gap, slowdown: source.slowdown, model: model))
      return .routed(routed.count - 1)
    }
  }

  /// Makes jobs wait for what they read, and for what the plan's streams wait for.
  private mutating func addWaits(
    _ loop: LayerLoop, _ schedule: LayerSchedule, _ sharded: ShardedFunction
  ) {
    let count = schedule.jobs.count
    let starts = schedule.starts.flatMap { $0 }
    var ends: [Int: Int] = [:]
    func wait(_ to: Int, _ from: Int, shift: Int, distance: Int) {
      // Streams run in order.
      if jobs[from].stream == jobs[to].stream && shift == 0 { return }
      let event = ends[from] ?? ends.count
      ends[from] = event
      jobs[from].event = event
      jobs[to].waits.append(
        Job.Wait(event: event, distance: distance, shift: Ticks(shift) * 1000))
      let apart = max(0, starts[to] - starts[from]) / max(schedule.period, 1)
      keptLayers = max(keptLayers, distance + apart + 2)
    }
    for dependency in loop.body.dependencies {
      wait(
        dependency.to, dependency.from,
        shift: min(0, dependency.delay - loop.jobs[dependency.from % count].duration),
        distance: dependency.distance)
    }
    var own = Array(repeating: [Int](), count: sharded.function.operations.count)
    for (job, record) in schedule.jobs.enumerated() { own[record.operation].append(job) }
    for (operation, earlier) in sharded.waits.enumerated() {
      guard let first = own[operation].first else { continue }
      for job in earlier.flatMap({ own[$0] }) {
        for base in stride(from: 0, to: starts.count, by: count)
        where starts[base + job] < starts[base + first] {
          wait(base + first, base + job, shift: 0, distance: 0)
        }
      }
    }
    eventCount = ends.count
  }
}

extension LayerSchedule {
  /// The schedule for the jobs that a step of another size has: with no prompts beside sequences that
  /// decode, attention is one kernel and not two. What an operation has more of starts with its last.
  func fitted(to jobs: [LayerLoop.Job], of function: Function) -> LayerSchedule {
    let made = jobs.map { Job(operation: $0.operation, stream: $0.stream, duration: $0.duration) }
    var fitted = self
    fitted.jobs = made
    let known = self.jobs.map { [$0.operation, $0.stream.rawValue] }
    if known == made.map({ [$0.operation, $0.stream.rawValue] }) { return fitted }
    let operations = starts(of: function)
    for batch in starts.indices {
      var taken: [[Int]: Int] = [:]
      fitted.starts[batch] = made.map { job in
        let place = [job.operation, job.stream.rawValue]
        let count = taken[place, default: 0]
        taken[place] = count + 1
        let own = known.indices.filter { known[$0] == place }
        guard let last = own.last else { return operations[batch][job.operation] }
        return starts[batch][count < own.count ? own[count] : last]
      }
    }
    return fitted
  }
}

/// The kernels of a function under even loads and at two others, which tells those that depend on
/// routed rows from those that do not.
struct RoutedSamples {
  /// With all experts loaded alike.
  let even: FunctionEstimate
  /// The fullest rank with twice the mean of rows, and with four times.
  let twice: [OpEstimate]
  let fourfold: [OpEstimate]
  /// Rows of a rank on average; 0 without experts.
  let mean: Double
  /// Slots for experts of a rank.
  let slots: Int

  init(function index: Int, layer: Int, _ estimator: StepEstimator, sampling: Bool) {
    let layers = layer < 0 ? [] : [layer]
    func planned(_ balance: Double) -> FunctionEstimate {
      var estimator = estimator
      estimator.loads = nil
      estimator.assumedBalancedness = balance
      return estimator.estimate(function: index, layers: layers, samples: sampling)
    }
    even = planned(1)
    twice = planned(0.5).operations
    fourfold = planned(0.25).operations
    slots = estimator.pool.placement(function: index, layer: layer)?.slotsPerRank ?? 0
    let step = estimator.step.split(into: estimator.microBatches)
    mean =
      DispatchShape(estimator.pool.functions[index].function).map { shape in
        (shape.sendsOwnTokens ? step.tokens / Double(estimator.pool.mesh.tp) : step.tokens)
          * Double(shape.topK)
      } ?? 0
  }

  /// A kernel that two loads tell.
  func routed(
    _ first: OpEstimate, _ other: OpEstimate, gap: Ticks, slowdown: Double = 1, model: CostModel
  ) -> RoutedKernel {
    RoutedKernel(
      samples: (2 * mean, first.kernel, 4 * mean, other.kernel), slots: slots, gap: gap,
      slowdown: slowdown, most: Int(min(64 * mean, 1e7)), model: model)
  }
}
