import EPSchedule
import Testing

/// Bounds against what is found by trying everything.
@Suite struct BoundTests {
  @Test func noScheduleIsShorterThanTheBounds() throws {
    for seed in 0..<120 {
      let body = LoopBody.random(2 + seed % 5, seed: 1_000 + seed, longest: 4)
      let bounds = try #require(body.bounds)
      let shortest = BruteForce(body: body).shortestPeriod(atMost: body.serial + 64)
      #expect(bounds.period <= shortest ?? .max, "seed \(seed)")
    }
  }

  /// Two micro-batches of which one takes as many times as long.
  @Test(arguments: [2, 3])
  func theLargerOfTwoMicroBatchesBoundsBoth(ratio: Int) throws {
    var numbers = SeededNumbers(11)
    var isTight = 0
    for _ in 0..<24 {
      let stages = (0..<3).map { _ in Int.random(in: 1...2, using: &numbers) }
      let body = LoopBody.layers(stages, batches: 2, ratios: [1, ratio])
      let bounds = try #require(body.bounds)
      #expect(bounds.recurrence == ratio * stages.reduce(0, +))
      let best = try #require(BruteForce(body: body).shortestPeriod(atMost: body.serial))
      #expect(best >= bounds.period)
      if best == bounds.period { isTight += 1 }
    }
    #expect(isTight >= 12, "\(isTight)")
  }

  /// What runs between a fork and a join on one stream runs one after the other, though no way
  /// through the layer has more than one of them.
  @Test func jobsBetweenTwoOthersAddUp() throws {
    var numbers = SeededNumbers(5)
    for seed in 0..<100 {
      var body = LoopBody()
      let before = Int.random(in: 1...50, using: &numbers)
      let first = body.add(LoopBody.Job(duration: before, resource: 0))
      let exchange = Int.random(in: 0...50, using: &numbers)
      let last = body.add(LoopBody.Job(duration: exchange, resource: 1))
      var between = 0
      for _ in 0..<Int.random(in: 2...5, using: &numbers) {
        let duration = Int.random(in: 1...50, using: &numbers)
        let job = body.add(LoopBody.Job(duration: duration, resource: 0))
        body.add(job, after: first)
        body.add(last, after: job)
        between += duration
      }
      body.add(first, after: last, distance: 1)
      let bounds = try #require(body.bounds)
      #expect(bounds.recurrence == before + between + exchange, "seed \(seed)")
      let schedule = try #require(LoopSolver().solve(body))
      #expect(schedule.period == bounds.recurrence && schedule.isOptimal, "seed \(seed)")
    }
  }

  /// Three micro-batches with room to spare: the streams are the bound.
  @Test func roomyLayersReachTheirBusiestStream() throws {
    var numbers = SeededNumbers(23)
    for seed in 0..<40 {
      let stages = (0..<8).map { Int.random(in: $0 % 2 == 0 ? 60...90 : 20...50, using: &numbers) }
      let body = LoopBody.layers(
        stages.map { $0 * 1_000 }, beside: Int.random(in: 1_000...40_000, using: &numbers),
        batches: 3)
      let schedule = try #require(LoopSolver(ordersAlike: true).solve(body))
      #expect(schedule.problem(for: body) == nil, "seed \(seed)")
      #expect(schedule.gap <= 0.001, "seed \(seed): \(schedule.gap)")
    }
  }
}
