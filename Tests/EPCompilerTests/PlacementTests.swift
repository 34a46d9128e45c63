import EPCompiler
import EPCost
import EPIR
import EPPlacement
import EPPlan
import EPTestSupport
import Testing

@Suite struct PlacementTests {
  private func plan(loads: [[Double]]?) throws -> Plan {
    var pool = CompileRequest.PoolRequest(.decode)
    (pool.dp, pool.ep, pool.redundantExperts) = (4, 4, 4)
    var request = CompileRequest(hardware: try SamplePlans.hardware(), pools: [pool])
    request.loads = try loads.map { .measured(try ExpertLoads(rows: $0)) }
    return try Compiler.compile(Compilation(SampleModels.tinyDeepSeek(), request))
  }

  /// The largest load of a rank over the mean, when replicas share an expert's tokens evenly.
  private func imbalance(_ placement: ExpertPlacement, _ loads: [Double]) -> Double {
    let replicas = placement.replicas
    let ranks = (0..<4).map { rank in
      placement.experts(ofRank: rank).reduce(0) {
        $0 + loads[$1] / Double(replicas[$1].count)
      }
    }
    return (ranks.max() ?? 0) / (ranks.reduce(0, +) / 4)
  }

  @Test func expertsArePlacedForTheirLoads() throws {
    // One expert of a layer is sixteen times as busy as the others.
    var loads: [[Double]] = []
    for layer in 0..<3 {
      var row = (0..<16).map { Double(10 + $0) }
      row[5 * layer] = 160
      loads.append(row)
    }
    let placed = try plan(loads: loads).pools[0]
    let inOrder = try plan(loads: nil).pools[0]
    for (layer, row) in zip(1..., loads) {
      let function = try #require(placed.placements.first { $0.layers == [layer] }).function
      let ours = try #require(placed.placement(function: function, layer: layer))
      let plain = try #require(inOrder.placement(function: function, layer: layer))
      #expect(imbalance(ours, row) < 1.1)
      #expect(imbalance(ours, row) < imbalance(plain, row))
    }
  }

  @Test func loadsOfOtherLayersAreRefused() throws {
    do {
      _ = try plan(loads: [[1, 2, 3]])
      Issue.record("one row of loads was taken for three layers")
    } catch let error as Diagnostics {
      #expect(error.all.map(\.id) == ["expert-loads"])
      #expect(error.description.contains("loads of 1 layers"))
    }
  }

  /// Decode on nodes of two devices, where routing keeps two of four groups of experts.
  private func limited(loads: [Double], sharing: ExpertPlacement.Sharing = .turn) throws -> Plan {
    var hardware = try SamplePlans.hardware()
    hardware.devicesPerNode = 2
    var pool = CompileRequest.PoolRequest(.prefill)
    (pool.dp, pool.ep, pool.redundantExperts, pool.tokensPerDevice) = (4, 4, 4, 16_384)
    var request = CompileRequest(hardware: hardware, pools: [pool])
    request.cluster = Cluster(hardware, devices: 4)
    request.loads = .measured(try ExpertLoads(rows: Array(repeating: loads, count: 3)))
    request.sharing = sharing
    return try Compiler.compile(Compilation(SampleModels.tinyDeepSeek(), request))
  }

  @Test func groupsStayInANodeWhereThatCostsLess() throws {
    let shape = try PlacementShape(experts: 16, ranks: 4, slotsPerRank: 5, nodes: 2, groups: 4)
    func strays(_ plan: Plan) -> Int {
      plan.pools[0].placements.filter { shape.strayExpert(in: $0.slots) != nil }.count
    }
    // Groups alike: nothing is lost by keeping each in a node, and tokens visit fewer nodes.
    let even = try limited(loads: (0..<16).map { 100 + Double($0 % 4) })
    #expect(strays(even) == 0)
    let sentence = even.decisions.first { $0.contains("a group stay in a node") }
    #expect(sentence?.contains("nodes a token") == true, "\(even.decisions)")
    // One group takes nearly all: in one node, its ranks would be twice as full as the others.
    let skewed = try limited(loads: (0..<16).map { $0 < 4 ? 1000 : 1 })
    #expect(strays(skewed) == skewed.pools[0].placements.count)
    #expect(skewed.decisions.contains { $0.contains("experts are placed over all ranks") })
  }

  @Test func sharingIsInThePlan() throws {
    let plan = try limited(loads: Array(repeating: 1, count: 16), sharing: .batch)
    #expect(plan.pools[0].placements.allSatisfy { $0.sharing == .batch })
    let text = String(decoding: try plan.serialized(), as: UTF8.self)
    #expect(text.contains(#""sharing": "batch""#))
    #expect(try Plan(bytes: Array(text.utf8)) == plan)
    #expect(throws: Diagnostics.self) {
      try Plan(bytes: Array(text.replacing(#""batch""#, with: #""random""#).utf8))
    }
  }

  @Test func aPlanGetsNewPlacementsInItsSlots() throws {
    var plan = try limited(loads: Array(repeating: 1, count: 16))
    let loads = (0..<16).map { Double(1 + $0 * $0) }
    let before = plan
    try plan.placeExperts(
      for: .measured(try ExpertLoads(rows: Array(repeating: loads, count: 3))))
    #expect(plan.verify().isEmpty && plan != before)
    let placement = try #require(plan.pools[0].placements.first { $0.layers == [1] })
    #expect(imbalance(placement, loads) < 1.05)
    #expect(throws: Diagnostics.self) {
      try plan.placeExperts(for: .measured(try ExpertLoads(rows: [[1]])))
    }
  }
}
