internal import CEPSimulation
public import EPCost
public import EPIR
internal import EPModel
internal import EPPlacement
public import EPPlan

/// One pool of a plan, simulated without payload: every job is evaluated for all ranks of a stage at
/// once, on clocks that jobs and exchanges advance and join.
///
/// Memory grows with ranks, not with steps. The same options give the same ticks, whatever the
/// number of threads.
public final class PoolSimulation {
  /// The pool.
  public let pool: Pool
  /// What kernels take.
  public let estimator: StepEstimator
  /// What was asked for.
  public let options: SimulationOptions
  /// What came of it so far.
  public internal(set) var outcome: PoolOutcome
  let stages: [StageProgram]
  let clocks: [StageClocks]
  /// When each lot left the last stage, in the step before.
  private var left: [Numbers<Int64>]
  /// Draws of each layer so far, by stage.
  private var draws: [[UInt64]]
  private var stepsRun = 0
  /// When the pool began to run: later than 0 where it goes on for another.
  private(set) var started: Ticks = 0

  /// Makes a pool ready.
  ///
  /// - Parameter estimator: what kernels take; its micro-batches and loads are set here.
  /// - Throws: a diagnostic where the loads are not for the pool's layers and experts.
  public init(
    _ estimator: StepEstimator, options: SimulationOptions
  ) throws(Diagnostics) {
    var estimator = estimator
    let pool = estimator.pool
    let lots = pool.lots
    estimator.microBatches = pool.parts
    do throws(PlacementError) {
      estimator.loads =
        pool.placements.isEmpty ? nil : try options.routing.loads?.loads(of: pool)
    } catch { throw Diagnostics("expert-loads", error.description) }
    self.pool = pool
    self.estimator = estimator
    self.options = options
    let keepsTraffic =
      options.keepsTraffic && pool.mesh.ep <= SimulationOptions.mostTrafficRanks
    let stages = pool.stages.indices.map {
      StageProgram(
        stage: $0, estimator: estimator, routing: options.routing, keepsTraffic: keepsTraffic)
    }
    self.stages = stages
    clocks = stages.map { stage in
      StageClocks(
        ranks: pool.mesh.stageRanks,
        events: stage.lists.map { $0.eventCount * $0.keptLayers }.max() ?? 0,
        waits: stage.lists.flatMap { $0.jobs.map(\.waits.count) }.max() ?? 0,
        batches: pool.microBatches)
    }
    left = (0..<lots).map { _ in
      Numbers(repeating: 0, count: pool.mesh.stageRanks)
    }
    draws = stages.map { Array(repeating: 0, count: $0.routings.count) }
    outcome = PoolOutcome(pool, stages: stages, keepsTraffic: keepsTraffic)
    outcome.predicted = estimator.recordedPlan().step
    outcome.isScheduled =
      pool.microBatches > 1 || pool.functions.contains { $0.schedule != nil }
  }

  /// Goes on from where another simulation of the pool broke off.
  func resume(_ before: PoolSimulation) {
    outcome.steps = before.outcome.steps
    stepsRun = before.stepsRun
    started = before.end
    advance(to: started)
  }

  /// Simulated seconds so far.
  public var seconds: Double { (clocks.last?.end ?? 0).seconds }

  /// The tokens of all data groups that a step reads, in a pool for prompts, or makes.
  public var tokensPerStep: Int {
    (pool.role == .prefill ? pool.load.tokens : pool.load.sequences) * pool.mesh.dp
  }

  /// The cluster's rank that computed longest in the latest step: the others wait for it.
  public var slowestRank: Int {
    let busy = clocks.flatMap(\.busySinceMark)
    return pool.firstRank + (busy.indices.max { (busy[$0], $1) < (busy[$1], $0) } ?? 0)
  }

  /// Makes no rank continue before a time.
  func advance(to time: Ticks) {
    for clocks in clocks { clocks.advance(to: time) }
  }

  /// When the last rank is done.
  var end: Ticks { clocks.reduce(0) { max($0, $1.end) } }

  /// Runs one step; of one that breaks off, a stage's calls before the given one.
  public func step() { step(until: nil) }

  /// `issued` is how many of the call's jobs are.
  func step(until stop: (stage: Int, call: Int, issued: Int)?) {
    route()
    for clocks in clocks { clocks.markStep() }
    let isProbed = stepsRun + options.probedSteps >= options.steps
    let begin = clocks.last?.end ?? 0
    for lot in left.indices {
      for stage in stages.indices {
        let own = clocks[stage]
        if stage == 0 && pool.role != .prefill && pool.mesh.pp > 1 {
          // The tokens to go on with come from the last stage.
          unsafe epc_raise(own.compute.base, left[lot].base, own.ranks)
        }
        for (number, call) in stages[stage].calls.enumerated() {
          if let stop, stop.stage == stage && stop.call == number {
            run(call, upTo: stop.issued, stage: stage, lot: lot, isProbed: isProbed)
            return
          }
          run(call, upTo: call.order.count, stage: stage, lot: lot, isProbed: isProbed)
        }
      }
      if let last = clocks.last { left[lot].copy(from: last.compute) }
    }
    outcome.take(self, step: stepsRun, begin: begin)
    stepsRun += 1
  }

  // MARK: Routing

  /// Draws the routing of the layers whose turn it is.
  private func route() {
    for stage in stages.indices {
      let routings = stages[stage].routings
      var due: [Int] = []
      for index in routings.indices {
        let period = options.resampling
        let isDue = period > 0 && (stepsRun + index) % period == 0
        if draws[stage][index] == 0 || isDue { due.append(index) }
      }
      if due.isEmpty { continue }
      if case .mean = options.routing.kind {
        for index in due where draws[stage][index] == 0 {
          draws[stage][index] = 1
          routings[index].takeMean()
        }
      } else {
        let made = due.map { index -> LayerRouting.Draw in
          draws[stage][index] += 1
          return routings[index].draw(seed: options.routing.seed, key: draws[stage][index])
        }
        var requests = unsafe made.map { unsafe $0.request }
        let error = unsafe epc_draw_layers(
          &requests, requests.count, UInt32(max(options.threads, 1)))
        precondition(error == 0, "drawing routing takes a few kilobytes, and they are not there")
        for draw in made { draw.routing.take(draw, uplinkShare: options.uplinkShare) }
      }
      for index in due {
        outcome.note(
          routings[index], stage: stage, index: index, isFirst: draws[stage][index] == 1)
        for kernel in stages[stage].lists[stages[stage].listOfRouting[index]].routed {
          kernel.prepare(active: routings[index].activeCounts)
        }
      }
    }
  }

  // MARK: Jobs

  private func run(
    _ call: StageProgram.Call, upTo end: Int, stage: Int, lot: Int, isProbed: Bool
  ) {
    let clocks = clocks[stage]
    let list = stages[stage].lists[call.list]
    for next in call.order.prefix(end) {
      let job = list.jobs[next.job]
      let kept = StageClocks.Events(of: list, layer: next.layer)
      let routing = call.routing(of: next).map { stages[stage].routings[$0] }
      let batch = call.batch + next.batch
      let probe = isProbed ? outcome.begin(job, kept, clocks, options.probes, stage: stage) : []
      issue(job, of: list, kept, routing, clocks, stage: stage, batch: batch)
      if isProbed {
        outcome.end(
          job, clocks, probe, layer: call.layers[next.layer],
          batch: lot * pool.microBatches + batch, stage: stage)
      }
    }
    outcome.events += call.order.count * clocks.ranks
    // The next call reuses the arena: nothing of this one may still be under way.
    clocks.join()
  }

  private func issue(
    _ job: Job, of list: IssueList, _ kept: StageClocks.Events, _ routing: LayerRouting?,
    _ clocks: StageClocks, stage: Int, batch: Int
  ) {
    switch job.duration {
    case .fixed(let ticks):
      let isShared = clocks.pace == nil && job.stream == .compute
      if isShared { clocks.sharedBusy += ticks }
      var issue = unsafe clocks.issue(job, kept, keepsBusy: !isShared)
      unsafe epc_issue_kernel(&issue, ticks)
    case .routed(let index):
      guard let routing else { return }
      let table = unsafe list.routed[index].table
      var issue = unsafe clocks.issue(job, kept, keepsBusy: true)
      unsafe epc_issue_routed(
        &issue, routing.rows.base, routing.active.base, table.base, table.count)
    case .half(let index, let isInward):
      guard let routing else { return }
      let ratios = clocks.felt(isInward ? routing.into : routing.out)
      let table = unsafe Numbers(repeating: list.halves[index].table, count: 1)
      var issue = unsafe clocks.issue(job, kept, keepsBusy: true)
      // Made for this call alone, they must live as long as it.
      unsafe withExtendedLifetime((ratios, table)) {
        unsafe epc_issue_routed(&issue, ratios.base, ratios.base, table.base, 1)
      }
    case .exchange(let index):
      guard let routing else { return }
      let exchange = list.exchanges[index]
      let isCombine = exchange.exchange.isCombine
      let (out, into) = (clocks.felt(routing.out), clocks.felt(routing.into))
      var issue = unsafe clocks.issue(job, kept, keepsBusy: true)
      let groups = stages[stage].members.groups
      let went = withExtendedLifetime((out, into)) {
        unsafe epc_issue_exchange(
          &issue, groups, (isCombine ? into : out).base, (isCombine ? out : into).base,
          exchange.table.table)
      }
      outcome.note(job.part, went)
    case .collective(let group, let ticks):
      let groups =
        group == .expert
        ? stages[stage].members.groups : epc_groups(size: pool.mesh.tp, inner: 1)
      var issue = unsafe clocks.issue(job, kept, keepsBusy: true)
      outcome.note(job.part, unsafe epc_issue_collective(&issue, groups, ticks))
    case .send(let ticks):
      var issue = unsafe clocks.issue(job, kept, keepsBusy: true)
      unsafe epc_issue_kernel(&issue, ticks)
      clocks.sent[batch].copy(from: clocks.clock(of: job.stream))
    case .receive:
      var issue = unsafe clocks.issue(job, kept, keepsBusy: false)
      if stage > 0 {
        unsafe epc_raise(
          clocks.clock(of: job.stream).base, self.clocks[stage - 1].sent[batch].base, clocks.ranks)
      }
      unsafe epc_issue_kernel(&issue, 0)
    }
  }
}
