import EPBackendSimGPU
import EPCost
import EPIR
import EPPlan
import EPTestSupport
import Testing

@Suite struct EstimateTests {
  /// Every sample model, spread in every way: pipelines, tensor parallelism, split experts, two pools.
  @Test func evenRoutingTakesWhatTheEstimateSays() throws {
    for (name, plan) in try SamplePlans.all() {
      var options = SimulationOptions(steps: 2, routing: RoutingSource(.mean))
      options.resampling = 0
      let simulation = try simulate(plan, options)
      for pool in simulation.pools {
        // A pipeline's first step also fills it.
        let seconds = pool.outcome.steps[pool.pool.mesh.pp > 1 ? 1 : 0].seconds
        let ratio = seconds / pool.outcome.predicted
        if !pool.outcome.isScheduled {
          #expect(abs(ratio - 1) < 0.02, "\(name): \(ratio)")
          continue
        }
        // In order, each job starts as soon as it can: two layers end before their schedule does.
        #expect(ratio < 1.02, "\(name): \(ratio)")
        // The busier stream of the slowest stage bounds it from below.
        let estimate = pool.estimator.estimate()
        let busier = estimate.stages.indices.map { estimate.overlapped(ofStage: $0).value }.max()
        #expect(seconds > (busier ?? 0) * 0.98, "\(name)")
      }
    }
  }

  @Test func plansWithoutOverlapTakeWhatTheEstimateSaysWithinTwoPercent() throws {
    let plan = try widePlan()
    let simulation = try simulate(
      plan, SimulationOptions(steps: 4, routing: RoutingSource(.mean)))
    let outcome = simulation.pools[0].outcome
    #expect(abs(outcome.stepSeconds / outcome.predicted - 1) < 0.02)
    #expect(outcome.balancedness == 1)
  }

  @Test func skewCostsWhatThePlacementSays() throws {
    let plan = try widePlan()
    let loads = try skewedLoads(layers: 0..<4, experts: 32)
    let even = try simulate(plan, SimulationOptions(steps: 2, routing: RoutingSource(.mean)))
    let mean = try simulate(
      plan, SimulationOptions(steps: 2, routing: RoutingSource(.mean, loads: loads)))
    let drawn = try simulate(
      plan, SimulationOptions(steps: 2, routing: RoutingSource(.drawn, loads: loads)))
    let (a, b, c) = (
      even.pools[0].outcome, mean.pools[0].outcome, drawn.pools[0].outcome
    )
    #expect(b.stepSeconds > 1.2 * a.stepSeconds)
    // The estimate knows the placement's busiest rank.
    #expect(abs(b.stepSeconds / b.predicted - 1) < 0.02)
    // Tokens choose different experts, so that the most popular takes less than its share of draws.
    #expect(c.stepSeconds > 1.1 * a.stepSeconds)
    #expect(c.stepSeconds < 1.1 * b.stepSeconds)
    let estimator = { (pool: PoolSimulation) in
      pool.estimator.poolEstimate(overlap: OverlapChoice.none).balancedness
    }
    #expect(abs(b.balancedness - estimator(mean.pools[0])) < 0.01)
  }

  @Test func drawnRoutingIsNeverFasterThanEven() throws {
    let plan = try widePlan()
    let even = try simulate(plan, SimulationOptions(steps: 2, routing: RoutingSource(.mean)))
    for seed in 0..<8 as Range<UInt64> {
      let drawn = try simulate(
        plan, SimulationOptions(steps: 2, routing: RoutingSource(.drawn, seed: seed)))
      #expect(drawn.pools[0].outcome.stepSeconds > even.pools[0].outcome.stepSeconds * 0.999)
    }
  }
}
