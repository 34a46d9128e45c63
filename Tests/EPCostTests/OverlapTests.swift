import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPSchedule
import Testing

/// Schedules of DeepSeek-V3's layers on the hardware they were published for.
@Suite struct OverlapTests {
  private func plan(
    _ role: Pool.Role, ep: Int, batch: Int? = nil, tokens: Int? = nil,
    context: Int = 4096, overlap: CompileRequest.Overlap = .auto
  ) throws -> Plan {
    var pool = CompileRequest.PoolRequest(role)
    (pool.ep, pool.batch, pool.tokensPerDevice) = (ep, batch, tokens)
    let hardware = try Repository.catalog.hardware(named: "h800")
    var request = CompileRequest(hardware: hardware, pools: [pool])
    request.cluster = Cluster(hardware, devices: ep)
    request.overlap = overlap
    request.context = context
    request.calibration = try Repository.calibration.get()
    return try Compiler.compile(Compilation(deepSeekV3(), request))
  }

  private func mixture(of plan: Plan) -> LayerSchedule? {
    plan.pools[0].functions.first {
      $0.schedule != nil && $0.function.operations.contains { $0.kind == .dispatch }
    }?.schedule
  }

  @Test func largeBatchesDecodeInTwo() throws {
    let plan = try plan(.decode, ep: 128, batch: 128)
    let schedule = try #require(mixture(of: plan))
    #expect(plan.pools[0].microBatches == 2)
    #expect(schedule.exposed < 0.15)
    #expect(schedule.gap <= 0.01, "\(schedule.gap)")
    #expect(plan.decisions.contains { $0.contains("two micro-batches") })
  }

  /// Attention is short here, so that the way through one micro-batch is nearly as long as what two
  /// compute: orders that a micro-batch takes where they may differ come nearest, for both.
  @Test func shortContextsComeNearTheBound() throws {
    let plan = try plan(.decode, ep: 128, batch: 256, context: 2000, overlap: .microBatches(2))
    let schedule = try #require(mixture(of: plan))
    #expect(schedule.exposed < 0.15)
    #expect(schedule.gap <= 0.001, "\(schedule.gap)")
  }

  @Test func smallBatchesDecodeInOne() throws {
    let plan = try plan(.decode, ep: 128, batch: 32)
    #expect(plan.pools[0].microBatches == 1)
    #expect(plan.decisions.contains { $0.contains("no micro-batches") })
  }

  @Test func prefillTakesSeveral() throws {
    let plan = try plan(.prefill, ep: 32, tokens: 16_384)
    let schedule = try #require(mixture(of: plan))
    #expect(plan.pools[0].microBatches > 1)
    #expect(schedule.exposed < 0.15 && schedule.gap <= 0.01)
    #expect(schedule.multiprocessors != nil)
  }

  @Test func sharedExpertsFillTheHoleOfOneBatch() throws {
    let plan = try plan(.decode, ep: 128, batch: 32, overlap: .microBatches(1))
    let function = try #require(
      plan.pools[0].functions.first { $0.schedule?.multiprocessors == nil && $0.schedule != nil })
    let schedule = try #require(function.schedule)
    let operations = function.function.operations
    let place = { (number: Int) in schedule.order.firstIndex(of: number) ?? 0 }
    let combine = try #require(operations.firstIndex { $0.kind == .combine })
    let shared = operations.indices.filter { operations[$0].scope.contains("shared_experts") }
    #expect(!shared.isEmpty && shared.allSatisfy { $0 > combine })
    // They stand behind the combine in the model and are issued while something is under way.
    #expect(schedule.period < schedule.busy(.compute) + schedule.busy(.communication))
    #expect(shared.contains { place($0) < place(combine) } || schedule.exposed < 1)
  }

  /// The estimate that the scheduler works with is the sum of the streams, however jobs are cut.
  @Test func jobsAddUpToTheEstimate() throws {
    let model = try Repository.model("h800")
    let plan = try compiledV3(
      .decode, cluster: Cluster(model.hardware, devices: 128), ep: 128, batch: 128)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.microBatches = 2
    let call = try #require(estimator.estimate().stages.joined().first { $0.layers.contains(30) })
    let loop = LayerLoop(
      plan.pools[0].functions[call.function], estimate: call, microBatches: 2,
      contention: Contention(), hardware: model.hardware)
    let contended = call.contended(Contention(), on: model.hardware)
    for stream in ShardedFunction.Stream.allCases {
      let seconds = contended.operations.filter { $0.stream == stream }
        .reduce(0) { $0 + $1.time.value }
      let ticks = loop.jobs.filter { $0.stream == stream }.reduce(0) { $0 + $1.duration }
      #expect(abs(Double(ticks) * 1e-9 - seconds) < 1e-7)
      #expect(loop.body.busy(stream.rawValue) == 2 * ticks)
    }
    let schedule = try #require(LoopSolver(ordersAlike: true).solve(loop.body))
    #expect(schedule.problem(for: loop.body) == nil)
  }

  /// `epc estimate PLAN`: a step costs what its schedules say, and nothing else.
  @Test(arguments: [
    (Pool.Role.decode, OverlapChoice.auto, 128), (.decode, .microBatches(2), 64),
    (.decode, .none, 32), (.prefill, .auto, 8192),
  ])
  func estimatesPriceTheSchedule(role: Pool.Role, overlap: OverlapChoice, size: Int) throws {
    let ep = role == .decode ? 64 : 32
    let plan = try plan(
      role, ep: ep, batch: role == .decode ? size : nil, tokens: role == .decode ? nil : size,
      overlap: overlap)
    let pool = plan.pools[0]
    var estimator = StepEstimator(pool, precision: .fp8, model: try Repository.model("h800"))
    let recorded = estimator.recordedPlan()
    // By hand: layers one period apart, calls without a schedule one after the other.
    estimator.microBatches = pool.microBatches
    var seconds = 0.0
    for call in pool.calls(ofStage: 0) {
      let layers = Double(max(call.layers.count, 1))
      if let schedule = pool.functions[call.function].schedule {
        seconds +=
          (Double(schedule.period) * layers + Double(schedule.span - schedule.period)) * 1e-9
      } else {
        for estimate in estimator.estimate(call: call, stage: 0) {
          seconds += estimate.serial.value * layers * Double(pool.microBatches)
        }
      }
    }
    #expect(abs(recorded.step / seconds - 1) < 1e-9)
    #expect(pool.functions.contains { $0.schedule != nil } == (overlap != .none))
    let estimate = estimator.poolEstimate(of: recorded)
    #expect(abs(estimate.step.value / seconds - 1) < 1e-9)
    // What engines do otherwise widens the interval; the value is the schedule's.
    #expect(estimate.step.upper / estimate.step.value >= StepEstimator.engineSpread)
    #expect(estimate.exposedCommunication == recorded.exposed)
    #expect(estimate.overlap.microBatches == pool.microBatches)
    // The compiler priced it so, and anew it comes to the same.
    estimator.microBatches = 1
    let again = estimator.overlapPlan(overlap)
    #expect(abs(again.step / seconds - 1) < 1e-9)
  }

  /// Where kernels take longer than a plan was made for, its order stays and its period gives way.
  @Test func recordedOrdersAreRetimed() throws {
    let plan = try plan(.decode, ep: 64, batch: 128, overlap: .microBatches(2))
    var estimator = StepEstimator(
      plan.pools[0], precision: .fp8, model: try Repository.model("h800"))
    let even = estimator.recordedPlan().step
    estimator.assumedBalancedness = 0.7
    let skewed = estimator.recordedPlan().step
    let best = estimator.overlapPlan(.microBatches(2)).step
    #expect(skewed > even)
    #expect(skewed >= best * 0.999 && skewed < best * 1.15, "\(skewed) of \(best)")
  }
}
