import EPCost
import EPIR
import EPModel
import EPPlan
import Testing

@testable import EPSearch

@Suite struct SearchTests {
  /// Limits, in seconds: none, loose, tight, and one that nothing keeps.
  static let limits: [(first: Double, token: Double)] = [
    (.infinity, .infinity), (0.2, 0.006), (0.01, 0.0001),
  ]

  /// The whole result, rows and front, is that of every deployment of a small space.
  @Test(arguments: [
    (SearchProblem.Objective.throughput, 0, SearchProblem.Disaggregation.auto),
    (.throughput, 1, .always), (.throughput, 1, .never), (.throughput, 2, .auto),
    (.cost, 1, .auto), (.cost, 1, .never), (.latency, 1, .auto), (.latency, 0, .always),
  ])
  func boundsLoseNothing(
    objective: SearchProblem.Objective, limit: Int, disaggregation: SearchProblem.Disaggregation
  ) throws {
    var problem = try smallProblem()
    problem.objective = objective
    problem.disaggregation = disaggregation
    (problem.timeToFirstToken, problem.timePerToken) = Self.limits[limit]
    let found = try Search(problem).run()
    let points = try BruteForce.points.get()
    let rows = try points.rows(of: problem)
    #expect(found.best.map { row($0, problem) } == rows.map { row($0, problem) })
    #expect(found.best.isEmpty == (limit == 2))
    #expect(limit == 2 || rows.count > 1)
    if limit == 2 {
      // What comes closest is said as well.
      let first = points.points.filter { $0.shape.role != .decode && $0.requestRate > 0 }
      let token = points.points.filter { $0.shape.role == .decode }
      #expect(found.earliest?.timeToFirstToken == first.map(\.timeToFirstToken).min())
      #expect(found.fastest?.timePerToken == token.map(\.timePerToken).min())
    }
    let whole = try points.deployments(of: problem)
    // What is best of all is a row, whatever rows leave out.
    let best = whole.filter { $0.keeps(limitsOf: problem) }
      .min { $0.isBetter(than: $1, problem) }
    #expect(found.best.first.map { score($0, problem) } == best.map { score($0, problem) })
    // Twice the limit is as far as fronts reach.
    let reach = 2 * problem.timePerToken
    func steps(_ deployments: [Deployment]) -> [String] {
      deployments.filter { $0.timePerToken <= reach }.map { score($0, problem) }
    }
    if objective != .latency {
      #expect(steps(found.front) == steps(BruteForce.front(of: whole, problem)))
    }
    for deployment in found.best + found.front {
      for point in [deployment.prefill, deployment.decode].compactMap({ $0 }) {
        #expect(point.isExact)
      }
    }
  }

  private func row(_ deployment: Deployment, _ problem: SearchProblem) -> String {
    "\(deployment.decode.shape.mesh) \(deployment.decodeInstances) "
      + "\(deployment.prefillInstances) \(score(deployment, problem))"
  }

  private func score(_ deployment: Deployment, _ problem: SearchProblem) -> String {
    "\(deployment.yield(problem.objective)) \(deployment.timePerToken)"
      + " \(problem.objective == .latency ? deployment.latency(outputLength: 500) : 0)"
  }

  /// What the search rests on: a bound holds, and grows with what is in a step.
  @Test(arguments: ["h200", "h20"])
  func boundsHoldAndGrow(hardware: String) throws {
    let problem = try smallProblem(hardware)
    let tables = try SearchTables(problem)
    let evaluator = PoolEvaluator(tables)
    func check(_ shape: PoolShape, _ points: [(PoolEvaluator.Depth) -> PoolPoint?]) {
      var last = 0.0
      for (index, point) in points.enumerated() {
        // Asked for first: afterwards the bound stands for it.
        let rough = point(.rough)
        guard let least = point(.bound) else { break }
        let floor = rough?.step ?? 0
        #expect(floor <= least.step * (1 + 1e-9), "\(shape.mesh), size \(index)")
        #expect(
          floor >= last * (1 - PoolExplorer.rounding),
          "\(hardware) \(shape.mesh), size \(index): \(floor) after \(last)")
        last = max(last, floor)
        if index == points.count / 2, let exact = point(.exact) {
          #expect(exact.step >= least.step * (1 - 1e-9), "\(shape.mesh)")
          #expect(exact.step <= (point(.most)?.step ?? .infinity) * (1 + 1e-9), "\(shape.mesh)")
        }
      }
    }
    for variant in tables.variants {
      for devices in [1, 2] {
        for shape in tables.shapes(.decode, devices: devices, variant: variant) {
          check(
            shape,
            problem.space.sequences.map { size in
              { evaluator.decodePoint(shape, sequences: size, depth: $0) }
            })
        }
        for shape in tables.shapes(.prefill, devices: devices, variant: variant) {
          check(
            shape,
            problem.space.prefillTokens.map { size in
              { evaluator.prefillPoint(shape, tokens: size, depth: $0) }
            })
        }
      }
    }
  }

  @Test func threadsDoNotMatter() throws {
    var problem = try smallProblem()
    problem.timePerToken = 0.02
    let one = try Search(problem, threads: 1).run()
    let four = try Search(problem, threads: 4).run()
    #expect(one.best == four.best)
    #expect(one.front == four.front)
    #expect(one.evaluations == four.evaluations)
  }

  /// What an evaluator remembers of one pool must not stand for another: stages are cut by the slots
  /// of their ranks.
  @Test func whatWasAskedBeforeDoesNotMatter() throws {
    var problem = try smallProblem(devices: 8)
    problem.space.devices = [4, 8]
    problem.space.pipeline = [2, 4]
    problem.space.extraSlots = [0, 1, 2]
    let tables = try SearchTables(problem)
    let shapes = tables.variants.flatMap { variant in
      [4, 8].flatMap { tables.shapes(.prefill, devices: $0, variant: variant) }
    }.filter { $0.mesh.pp > 1 }
    #expect(Set(shapes.map(\.slotsPerRank)).count > 1)
    let asked = PoolEvaluator(tables)
    for shape in shapes {
      let known = asked.prefillPoint(shape, tokens: 1024, depth: .most)
      let fresh = PoolEvaluator(tables).prefillPoint(shape, tokens: 1024, depth: .most)
      #expect(known == fresh, "\(shape)")
    }
  }

  /// Where decoding limits a row, no prefill pools of as many devices that read enough give an earlier
  /// first token.
  @Test func prefillThatIsAmpleIsEarly() throws {
    var problem = try smallProblem()
    problem.outputLength = 2000
    problem.space.prefillTokens = [2048, 4096, 8192, 16384, 32768]
    problem.space.sequences = [16, 64, 256]
    problem.disaggregation = .always
    let rows = try Search(problem).run().best
    let all = try BruteForce(problem).deployments(of: problem)
    #expect(!rows.isEmpty)
    for row in rows {
      let devices = (row.prefill?.devices ?? 0) * row.prefillInstances
      let least = all.filter { other in
        other.decode == row.decode && other.decodeInstances == row.decodeInstances
          && (other.prefill?.devices ?? 0) * other.prefillInstances == devices
          && other.requestRate >= row.requestRate * (1 - 1e-9)
      }.map(\.timeToFirstToken).min()
      #expect(row.timeToFirstToken <= (least ?? 0) * (1 + 1e-9))
    }
  }

  @Test func limitsAreKeptAndFrontsHoldNothingDominated() throws {
    var problem = try smallProblem()
    (problem.timeToFirstToken, problem.timePerToken) = (1, 0.015)
    let result = try Search(problem).run()
    for deployment in result.best {
      #expect(deployment.timeToFirstToken <= 1.0000001 && deployment.timePerToken <= 0.015)
      #expect(deployment.devicesUsed <= 3 && deployment.devicesIdle >= 0)
      #expect(deployment.tokenRate > 0)
    }
    for (slower, faster) in zip(result.front, result.front.dropFirst()) {
      #expect(slower.tokensPerUser < faster.tokensPerUser)
      #expect(slower.throughput > faster.throughput)
    }
  }

  /// The search's own quick times and memory are those of the compiled plan.
  @Test func rowsAreWhatThePlanAndTheEstimateSay() throws {
    var problem = try smallProblem()
    problem.timePerToken = 0.02
    for disaggregation in [SearchProblem.Disaggregation.always, .never] {
      problem.disaggregation = disaggregation
      let result = try Search(problem).run()
      let deployment = try #require(result.best.first)
      let plan = try result.plan(for: deployment)
      #expect(plan.verify().isEmpty)
      let estimates = result.estimates(of: deployment)
      let points = [deployment.prefill, deployment.decode].compactMap { $0 }
      #expect(plan.pools.count == points.count)
      for (pool, (point, estimate)) in zip(plan.pools, zip(points, estimates)) {
        #expect(pool.mesh == point.shape.mesh)
        let fullest = try #require(pool.memory.max { $0.total < $1.total })
        #expect(fullest == estimate.memory)
        let step = point.promptTokens > 0 ? point.promptStep : point.step
        #expect(abs(estimate.step.value - step) < 1e-9 * step)
        #expect(pool.microBatches == point.overlap.microBatches)
        if pool.role != .decode { continue }
        // The plan's own schedules come to the same step.
        var estimator = StepEstimator(
          pool, precision: problem.program.precision, model: problem.cost)
        estimator.assumedBalancedness = point.balancedness
        let planned = estimator.recordedPlan().step
        #expect(abs(planned - step) < 1e-6 * step, "\(planned) for \(step)")
      }
    }
  }

  @Test func whatIsWorseIsNotBetter() throws {
    var problem = try smallProblem()
    problem.timePerToken = 0.02
    let result = try Search(problem).run()
    let best = try #require(result.best.first)
    for sensitivity in try result.sensitivities(ofRow: 0) {
      let then = try #require(sensitivity.deployment)
      #expect(then.throughput <= best.throughput * 1.000001, "\(sensitivity.cause)")
      #expect(then.timePerToken >= best.timePerToken * 0.999999)
    }
  }

  @Test func badProblemsAreRefused() throws {
    let changes: [(inout SearchProblem) -> Void] = [
      { $0.promptLength = 0 }, { $0.outputLength = 0 }, { $0.cacheHitRate = 1 },
      { $0.timeToFirstToken = 0 }, { $0.timePerToken = -1 }, { $0.acceptance = 2 },
    ]
    for change in changes {
      var problem = try smallProblem()
      change(&problem)
      let wrong = problem
      #expect(throws: Diagnostics.self) { try Search(wrong).run() }
    }
  }

  /// Where nothing keeps the limits there is no front to compare with; work is counted, not timed.
  @Test func limitsThatNothingKeepsTakeHardlyMoreWork() throws {
    var problem = try smallProblem()
    problem.space.sequences = SearchSpace.grid(from: 1, to: 1024, perOctave: 1)
    problem.space.prefillTokens = SearchSpace.grid(from: 256, to: 16_384, perOctave: 1)
    problem.space.chunks = SearchSpace.grid(from: 16, to: 4096, perOctave: 1)
    let open = try Search(problem).run()
    (problem.timeToFirstToken, problem.timePerToken) = (1e-3, 1e-4)
    let closed = try Search(problem).run()
    #expect(closed.best.isEmpty && !open.best.isEmpty)
    // Where nothing keeps a limit fewer boxes are dropped.
    let share = Double(closed.evaluations) / Double(open.evaluations)
    #expect(share < 1.3, "\(closed.evaluations) \(open.evaluations)")
    #expect(closed.scheduled <= open.scheduled, "\(closed.scheduled) \(open.scheduled)")
  }

  /// A step whose rows would fit exchanges in three micro-batches, and not in two, has no way to run;
  /// it is no point, and does not keep the search from ending.
  @Test func stepsThatNoExchangeTakesAreNoPoints() throws {
    var problem = try smallProblem()
    problem.space.devices = [2]
    problem.space.sequences = [1, 160]
    problem.space.mostLowLatencyRows = 60
    problem.space.drafts = [0]
    for objective in SearchProblem.Objective.allCases {
      problem.objective = objective
      for deployment in try Search(problem).run().front where deployment.decode.shape.isLowLatency {
        #expect(deployment.decode.sequences == 1)
      }
    }
  }

  @Test func modelsThatDoNotFitAreNamedWithTheirSize() throws {
    var problem = try smallProblem(devices: 1)
    problem.space.devices = [1]
    problem.cluster.hardware.memoryBytes = 1 << 28
    let tight = problem
    let error = #expect(throws: Diagnostics.self) { try Search(tight).run() }
    #expect(error?.all.first?.id == "search-memory")
  }

  @Test func expertParallelismCanBeLeftOut() throws {
    var problem = try smallProblem()
    problem.space.hasExpertParallelism = false
    for deployment in try Search(problem).run().best {
      #expect(deployment.decode.shape.mesh.ep == 1 && deployment.decode.shape.mesh.dp == 1)
    }
    problem.space.hasExpertParallelism = true
    problem.dollarsPerHour = 3.6
    let rows = try Search(problem).run().ownership(requestRate: 1000, threads: 2)
    let (found, other) = (try #require(rows.first), try #require(rows.last))
    #expect(found.devices <= other.devices)
    #expect(try #require(found.dollarsPerMonth) == 3.6 * Double(found.devices) * 730)
  }
}
