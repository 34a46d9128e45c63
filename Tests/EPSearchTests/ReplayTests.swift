import EPIR
import EPSearch
import Testing

@Suite struct ReplayTests {
  /// The best deployments, searched once for all tests.
  private static let apart = Result { try found(.always) }
  private static let unified = Result { try found(.never) }

  private func deployment(
    _ disaggregation: SearchProblem.Disaggregation
  ) throws -> (SearchProblem, Deployment) {
    try (disaggregation == .never ? Self.unified : Self.apart).get()
  }

  private static func found(
    _ disaggregation: SearchProblem.Disaggregation
  ) throws -> (SearchProblem, Deployment) {
    var problem = try smallProblem()
    problem.disaggregation = disaggregation
    (problem.timeToFirstToken, problem.timePerToken) = (2, 0.02)
    let best = try Search(problem).run().best
    return (problem, try #require(best.first))
  }

  @Test(arguments: [SearchProblem.Disaggregation.always, .never])
  func everyRequestEndsAndALittleLoadIsFast(disaggregation: SearchProblem.Disaggregation) throws {
    let (problem, deployment) = try deployment(disaggregation)
    let replay = Replay(problem, deployment)
    let idle = try replay.run(.constant(deployment.requestRate * 0.01), count: 20)
    #expect(idle.requests == 20 && idle.tokens == 20 * 500)
    #expect(idle.goodShare == 1)
    let busy = try replay.run(.poisson(deployment.requestRate * 0.9), count: 400)
    #expect(busy.requests == 400)
    #expect(busy.timeToFirstToken.p50 >= idle.timeToFirstToken.p50 * 0.999)
    #expect(busy.timePerToken.p50 >= idle.timePerToken.p50 * 0.999)
    // At nine tenths of what the search says, the middle request keeps its token time.
    #expect(busy.timePerToken.p50 <= problem.timePerToken * 1.1)
    let more = try replay.run(.poisson(deployment.requestRate * 3), count: 400)
    #expect(more.timeToFirstToken.p99 > busy.timeToFirstToken.p99)
    #expect(more.throughput * Double(deployment.devices) <= deployment.tokenRate * 1.3)
  }

  @Test func replaysRepeat() throws {
    let (problem, deployment) = try deployment(.auto)
    let replay = Replay(problem, deployment)
    let load = ReplayLoad.poisson(deployment.requestRate)
    #expect(try replay.run(load, count: 100) == replay.run(load, count: 100))
  }

  @Test func tracesHavePrefixes() throws {
    let text = """
      {"timestamp": 0, "input_length": 1100, "output_length": 3, "hash_ids": [1, 2, 3]}
      {"timestamp": 500, "input_length": 1100, "output_length": 1, "hash_ids": [1, 2, 9]}

      {"timestamp": 250, "input_length": 600, "output_length": 2, "hash_ids": [7, 2]}
      """
    let load = try ReplayLoad.trace(Array(text.utf8), named: "trace")
    #expect(
      load
        == .trace([
          ReplayRequest(arrival: 0, promptLength: 1100, tokensRead: 1100, outputLength: 3),
          ReplayRequest(arrival: 0.25, promptLength: 600, tokensRead: 600, outputLength: 2),
          ReplayRequest(arrival: 0.5, promptLength: 1100, tokensRead: 76, outputLength: 1),
        ]))
    let (problem, deployment) = try deployment(.auto)
    let report = try Replay(problem, deployment).run(load, count: 0)
    #expect(report.requests == 3 && report.tokens == 6)
  }

  @Test(arguments: [
    "", "{}", "{\"timestamp\": 0, \"input_length\": 0, \"output_length\": 1}",
    "{\"timestamp\": -1, \"input_length\": 1, \"output_length\": 1}", "[1]", "nonsense",
  ])
  func badTracesAreNamed(text: String) {
    let error = #expect(throws: Diagnostics.self) {
      try ReplayLoad.trace(Array(text.utf8), named: "trace")
    }
    #expect(error?.all.first?.id == "replay-trace")
  }
}
