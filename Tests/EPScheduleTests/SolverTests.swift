import EPSchedule
import Testing

@Suite struct SolverTests {
  @Test func equalsBruteForceOnRandomBodies() throws {
    for seed in 0..<400 {
      let body = LoopBody.random(1 + seed % 6, seed: seed, longest: 3)
      try check(body, "seed \(seed)")
    }
  }

  @Test func equalsBruteForceOnTwoMicroBatches() throws {
    var numbers = SeededNumbers(7)
    for seed in 0..<150 {
      let stages = (0..<(seed % 2 == 0 ? 3 : 4)).map { _ in
        Int.random(in: 1...3, using: &numbers)
      }
      let beside = seed % 4 == 0 ? 1 : nil
      let ratios = seed % 5 == 0 && stages.reduce(0, +) < 6 ? [1, 2] : [1]
      try check(
        .layers(stages, beside: beside, batches: 2, ratios: ratios), "seed \(seed)")
    }
  }

  private func check(_ body: LoopBody, _ comment: Comment) throws {
    let schedule = try #require(LoopSolver(effort: 4_000_000).solve(body), comment)
    #expect(schedule.problem(for: body) == nil, comment)
    #expect(schedule.lowerBound == schedule.period, comment)
    #expect(
      BruteForce(body: body).shortestPeriod(atMost: schedule.period) == schedule.period, comment)
  }

  @Test func schedulesOfLayersAreValid() throws {
    var numbers = SeededNumbers(3)
    for seed in 0..<300 {
      let stages = (0..<6).map { _ in Int.random(in: 1_000...400_000, using: &numbers) }
      let body = LoopBody.layers(
        stages, beside: Int.random(in: 1_000...80_000, using: &numbers), batches: 1 + seed % 3)
      let schedule = try #require(LoopSolver().solve(body))
      #expect(schedule.problem(for: body) == nil, "seed \(seed)")
      #expect(schedule.period <= body.serial, "seed \(seed)")
      #expect(schedule.lowerBound >= (body.bounds?.period ?? 0), "seed \(seed)")
    }
  }

  @Test func ordersAreAlikeWhereAskedFor() throws {
    var numbers = SeededNumbers(11)
    for seed in 0..<100 {
      let stages = (0..<6).map { _ in Int.random(in: 10...400, using: &numbers) }
      let batches = 2 + seed % 2
      let body = LoopBody.layers(stages, beside: 1 + seed, batches: batches)
      let schedule = try #require(LoopSolver(ordersAlike: true).solve(body))
      #expect(schedule.problem(for: body) == nil, "seed \(seed)")
      let free = try #require(LoopSolver(effort: 4_000_000).solve(body))
      #expect(free.lowerBound <= schedule.period, "seed \(seed)")
      let size = body.jobs.count / batches
      let orders = (0..<batches).map { batch in
        (0..<2).map { resource in
          (0..<size).filter { body.jobs[batch * size + $0].resource == resource }
            .sorted { schedule.starts[batch * size + $0] < schedule.starts[batch * size + $1] }
        }
      }
      #expect(Set(orders).count == 1, "seed \(seed)")
    }
  }

  @Test func aListScheduleRemainsWithoutEffort() throws {
    for seed in 0..<100 {
      let body = LoopBody.random(10, seed: seed, longest: 50)
      let schedule = try #require(LoopSolver(effort: 0).solve(body))
      #expect(schedule.problem(for: body) == nil, "seed \(seed)")
      let bound = try #require(body.bounds)
      #expect(schedule.lowerBound == max(bound.period, 1), "seed \(seed)")
    }
  }

  @Test func moreEffortIsNeverWorse() throws {
    for seed in 0..<40 {
      let body = LoopBody.random(12, seed: seed, longest: 400)
      let little = try #require(LoopSolver(effort: 20_000).solve(body))
      let much = try #require(LoopSolver(effort: 2_000_000).solve(body))
      #expect(much.period <= little.period, "seed \(seed)")
      #expect(much.lowerBound >= little.lowerBound, "seed \(seed)")
    }
  }

  @Test func aCircleInOneIterationHasNoSchedule() {
    var body = LoopBody()
    let first = body.add(LoopBody.Job(duration: 1, resource: 0))
    let second = body.add(LoopBody.Job(duration: 1, resource: 1))
    body.add(second, after: first)
    body.add(first, after: second)
    #expect(LoopSolver().solve(body) == nil)
    #expect(body.bounds == nil)
  }

  @Test func nothingTakesNoTime() throws {
    let schedule = try #require(LoopSolver().solve(LoopBody()))
    #expect(schedule.starts.isEmpty && schedule.gap == 0 && schedule.isOptimal)
  }

  /// Attention that must be cut for the other micro-batch's exchange to be hidden: 600 of compute
  /// stand before the dispatch and only 250 behind it, against a combine of 369.
  @Test func findsTheStagesOfAttention() throws {
    var body = LoopBody()
    for batch in 0..<2 {
      let attention = [200, 228, 172].map {
        body.add(LoopBody.Job(duration: $0, resource: 0, batch: batch))
      }
      let dispatch = body.add(LoopBody.Job(duration: 192, resource: 1, batch: batch))
      let experts = body.add(LoopBody.Job(duration: 250, resource: 0, batch: batch))
      let combine = body.add(LoopBody.Job(duration: 369, resource: 1, batch: batch))
      let chain = attention + [dispatch, experts, combine]
      for (earlier, later) in zip(chain, chain.dropFirst()) { body.add(later, after: earlier) }
      body.add(attention[0], after: combine, distance: 1)
    }
    let schedule = try #require(LoopSolver().solve(body))
    #expect(schedule.period == 2 * (600 + 250))
    #expect(schedule.idle(0) == 0)
    // In the middle of one micro-batch's attention the other one computes.
    let first = (schedule.starts[0], schedule.starts[2] + 172)
    #expect(first.1 - first.0 > 600)
  }

  @Test func brokenSchedulesAreSeen() throws {
    for seed in 0..<60 {
      let body = LoopBody.layers([3, 2, 4, 5], beside: 1, batches: 2)
      let schedule = try #require(LoopSolver().solve(body))
      var numbers = SeededNumbers(seed)
      var broken = schedule
      let job = Int.random(in: 0..<body.jobs.count, using: &numbers)
      broken.starts[job] += Int.random(in: 1..<schedule.period, using: &numbers)
      // A side job may have room to move; one of the chain has room for no more than the slack.
      let moved = broken.starts[job] - schedule.starts[job]
      let slack = schedule.period - (body.bounds?.recurrence ?? 0)
      if body.jobs[job].duration > 1 && moved > slack {
        #expect(broken.problem(for: body) != nil, "seed \(seed)")
      }
      var short = schedule
      short.period = (body.bounds?.period ?? 0) - 1
      #expect(short.problem(for: body) != nil)
    }
  }
}
