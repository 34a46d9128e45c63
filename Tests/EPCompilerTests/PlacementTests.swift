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
}
