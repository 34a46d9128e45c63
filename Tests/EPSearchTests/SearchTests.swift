import EPCost
import EPIR
import EPPlan
import Testing

@testable import EPSearch

@Suite struct SearchTests {
  /// Limits, in seconds: none, loose, tight, and one that nothing keeps.
  static let limits: [(first: Double, token: Double)] = [
    (.infinity, .infinity), (0.2, 0.006), (0.01, 0.0001),
  ]

  @Test(arguments: SearchProblem.Objective.allCases, 0..<3)
  func boundsLoseNothing(objective: SearchProblem.Objective, limit: Int) throws {
    var problem = try smallProblem()
    problem.objective = objective
    (problem.timeToFirstToken, problem.timePerToken) = Self.limits[limit]
    let pruned = try Search(problem).run()
    let whole = try Search(problem, isPruned: false).run()
    #expect(pruned.best.isEmpty == whole.best.isEmpty)
    #expect(pruned.best.first == whole.best.first)
    #expect(pruned.evaluations <= whole.evaluations)
    if objective != .latency {
      // Twice the limit is as far as fronts reach.
      let reach = 2 * problem.timePerToken
      func lines(_ result: SearchResult) -> Set<String> {
        Set(
          result.front.filter { $0.timePerToken <= reach }.map {
            "\($0.timePerToken) \($0.throughput) \($0.prefill?.label ?? "") \($0.decode.label)"
          })
      }
      #expect(lines(pruned).symmetricDifference(lines(whole)) == [])
    }
    #expect(limit != 0 || !pruned.best.isEmpty)
    #expect(limit != 2 || pruned.best.isEmpty)
  }

  /// What the bounds rest on.
  @Test func stepsGetNoShorterWithMoreInThem() throws {
    for hardware in ["h200", "h20"] {
      let problem = try smallProblem(hardware)
      let tables = try SearchTables(problem)
      let evaluator = PoolEvaluator(tables)
      for variant in tables.variants {
        for devices in [1, 2] {
          for shape in tables.shapes(.decode, devices: devices, variant: variant) {
            var last = 0.0
            for sequences in problem.space.sequences {
              guard let point = evaluator.decodePoint(shape, sequences: sequences) else { break }
              #expect(
                point.step >= last * PoolExplorer.monotony,
                "\(hardware) \(shape.mesh), \(sequences): \(point.step) after \(last)")
              last = max(last, point.step)
            }
          }
          for shape in tables.shapes(.prefill, devices: devices, variant: variant) {
            var last = 0.0
            for tokens in problem.space.prefillTokens {
              guard let point = evaluator.prefillPoint(shape, tokens: tokens) else { break }
              #expect(
                point.step >= last * PoolExplorer.monotony,
                "\(hardware) \(shape.mesh), \(tokens) tokens: \(point.step) after \(last)")
              last = max(last, point.step)
            }
          }
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
