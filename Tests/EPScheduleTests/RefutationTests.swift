import Testing

@testable import EPSchedule

/// What is refuted has no schedule, by trying everything.
@Suite struct RefutationTests {
  private func refutes(_ body: LoopBody, _ period: Int) -> Bool {
    var refutation = PeriodRefutation(body, period: period, limit: 10_000_000)
    return refutation.succeeds()
  }

  @Test func nothingPossibleIsRefuted() throws {
    var beyond = 0
    for seed in 0..<120 {
      let body =
        seed % 2 == 0
        ? LoopBody.random(2 + seed % 6, seed: 5_000 + seed, longest: 4) : layers(seed)
      let bound = try #require(body.bounds?.period)
      let shortest = try #require(LoopSolver(effort: 4_000_000).solve(body)?.period)
      #expect(BruteForce(body: body).shortestPeriod(atMost: shortest) == shortest, "seed \(seed)")
      for period in max(bound, 1)..<max(shortest, 1) where refutes(body, period) { beyond += 1 }
      for period in [shortest, shortest + 1, shortest + 2, 2 * shortest] where period > 0 {
        #expect(!refutes(body, period), "seed \(seed), period \(period)")
      }
    }
    // It says more than the bounds of streams and of dependencies.
    #expect(beyond > 6, "\(beyond)")
  }

  /// Two micro-batches, each a layer of compute and communication by turns.
  private func layers(_ seed: Int) -> LoopBody {
    var numbers = SeededNumbers(seed)
    let stages = (0..<(seed % 3 == 0 ? 3 : 4)).map { _ in Int.random(in: 1...4, using: &numbers) }
    return .layers(stages, batches: 2)
  }

  /// The layer of DeepSeek-V3 in prefill: the way through a micro-batch is as long as what the
  /// streams are busy with both, and the bound of either 8 % short of what is possible.
  @Test func boundsMeetWhereStreamsAndWaysAreAlike() throws {
    var body = LoopBody()
    for batch in 0..<2 {
      var chain: [Int] = []
      for (index, duration) in [4_610, 5_762, 6_680, 9_980, 4_900].enumerated() {
        chain.append(
          body.add(
            LoopBody.Job(
              duration: duration, resource: [0, 1, 0, 1, 0][index], batch: batch)))
        if index > 0 { body.add(chain[index], after: chain[index - 1]) }
      }
      body.add(chain[0], after: chain[4], distance: 1)
    }
    let bound = try #require(body.bounds?.period)
    let schedule = try #require(LoopSolver(ordersAlike: true).solve(body))
    #expect(schedule.problem(for: body) == nil)
    #expect(schedule.lowerBound > bound + bound / 50)
    #expect(schedule.gap <= 0.002, "\(schedule.gap)")
  }
}
