import EPBackendSimGPU
import EPCost
import EPTestSupport
import Testing

@Suite struct DeterminismTests {
  @Test(arguments: [1, 2, 8]) func threadsDoNotChangeAnyTick(threads: Int) throws {
    let plan = try widePlan()
    var options = SimulationOptions(steps: 6, routing: RoutingSource(.drawn, seed: 7))
    options.resampling = 2
    let one = try simulate(plan, options).pools[0].outcome
    options.threads = threads
    let other = try simulate(plan, options).pools[0].outcome
    #expect(one.steps == other.steps)
    #expect(one.layers == other.layers)
    #expect(one.collectives == other.collectives)
  }

  @Test func seedsChangeTicks() throws {
    let plan = try widePlan()
    let times = try (0..<4 as Range<UInt64>).map { seed in
      try simulate(
        plan, SimulationOptions(steps: 2, routing: RoutingSource(.drawn, seed: seed))
      ).pools[0].outcome.elapsed
    }
    #expect(Set(times).count == 4)
  }

  @Test func routingIsDrawnAsOftenAsAsked() throws {
    let plan = try widePlan()
    var options = SimulationOptions(steps: 9)
    options.resampling = 4
    let layers = try simulate(plan, options).pools[0].outcome.layers
    // All layers at first, then each in every fourth of the eight further steps.
    #expect(layers.map(\.draws) == [3, 3, 3, 3])
    options.resampling = 0
    #expect(try simulate(plan, options).pools[0].outcome.layers.map(\.draws) == [1, 1, 1, 1])
  }
}
