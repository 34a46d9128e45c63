import EPCost
import EPPlacement
import EPPlan
import EPTestSupport
import Testing

@testable import EPBackendSimGPU

@Suite struct RoutingTests {
  /// Draws one layer of a plan and gives what it says.
  private func drawn(
    _ plan: Plan, loads: LoadSource? = nil, kind: RoutingSource.Kind = .drawn
  ) throws -> (PoolSimulation, LayerRouting) {
    var options = SimulationOptions(steps: 1, routing: RoutingSource(kind, loads: loads, seed: 3))
    options.keepsTraffic = true
    let simulation = try simulate(plan, options).pools[0]
    return (simulation, try #require(simulation.stages[0].routings.first))
  }

  @Test func everyTokenGoesToTopKExperts() throws {
    for (name, plan) in try SamplePlans.all() {
      var options = SimulationOptions(steps: 1)
      options.keepsTraffic = true
      let simulation = try ClusterSimulation(plan, model: try costModel(), options: options)
      try simulation.run()
      for pool in simulation.pools {
        for stage in pool.stages {
          for routing in stage.routings {
            let chosen = routing.expertRows.array.reduce(0) { $0 + Int($1) }
            let sent = Int((routing.meanRows * Double(chosenMembers(pool))).rounded())
            #expect(chosen == sent, "\(name)")
            let rows = routing.rows.array.reduce(0) { $0 + Int($1) }
            #expect(rows == chosen * stage.members.ranksOfMember, "\(name)")
            let moved = routing.pairs?.array.reduce(0) { $0 + Int($1) }
            #expect(moved == chosen, "\(name)")
          }
        }
      }
    }
  }

  private func chosenMembers(_ pool: PoolSimulation) -> Int {
    pool.stages[0].members.count * pool.stages[0].members.copies
  }

  @Test func popularExpertsAreDrawnAsOftenAsTheyShould() throws {
    // One choice a token follows the loads exactly.
    let table = AliasTable(weights: [1, 2, 3, 10])
    var expected = [0.0, 0, 0, 0]
    for bin in 0..<4 {
      let own = Double(table.threshold[bin]) / 4_294_967_295
      expected[bin] += own / 4
      expected[Int(table.alias[bin])] += (1 - own) / 4
    }
    for (share, weight) in zip(expected, [1.0, 2, 3, 10]) {
      #expect(abs(share - weight / 16) < 1e-6)
    }
    let (_, routing) = try drawn(
      try widePlan(), loads: try skewedLoads(layers: 0..<4, experts: 32))
    let rows = routing.expertRows.array
    // Although no token takes an expert twice, each gets its share of 16 x 256 x 4 choices.
    let total = (0..<32).reduce(0.0) { $0 + 1 / Double($1 + 1) }
    for (expert, count) in rows.enumerated() {
      let expected: Double = 16_384 / Double(expert + 1) / total
      let bound: Double = 0.03 * expected + 4 * expected.squareRoot()
      #expect(abs(Double(count) - expected) < bound)
    }
    #expect(rows[0] <= 16 * 256)
  }

  @Test func recordedChoicesAreTakenAsTheyAre() throws {
    // Every token goes to experts 0, 2, 4 and 6: ranks 0 to 3 of 16 with two slots each.
    let recording: [Int32] = [0, 2, 4, 6]
    let (_, routing) = try drawn(
      try widePlan(), kind: .recorded([0: recording, 1: recording, 2: recording, 3: recording]))
    #expect(Array(routing.rows.array.prefix(5)) == [4096, 4096, 4096, 4096, 0])
    #expect(routing.expertRows.array[2] == 4096)
  }

  @Test func linksCarryWhatIsSent() throws {
    let (pool, routing) = try drawn(try widePlan())
    let ratios = routing.into.array.map { Double($0) / 1024 }
    let mean = ratios.reduce(0, +) / Double(ratios.count)
    #expect(abs(mean - 1) < 0.02)
    // Who gets more rows has busier links.
    let rows = routing.rows.array
    let most = rows.indices.max { rows[$0] < rows[$1] } ?? 0
    let least = rows.indices.min { rows[$0] < rows[$1] } ?? 0
    #expect(ratios[most] > ratios[least])
    var moved = 0
    for row in pool.outcome.traffic { for rows in row { moved += rows } }
    // Layers, ranks, tokens, choices.
    #expect(moved == 4 * 16 * 256 * 4)
  }

  @Test func thinnerUplinksTakeLonger() throws {
    let plan = try widePlan()
    var options = SimulationOptions(steps: 1)
    let full = try simulate(plan, options).pools[0].outcome.elapsed
    options.uplinkShare = 0.25
    let thin = try simulate(plan, options).pools[0].outcome.elapsed
    #expect(thin > full)
  }
}
