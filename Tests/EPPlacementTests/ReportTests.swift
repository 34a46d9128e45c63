import EPJSON
import EPModel
import EPPlacement
import Testing

@Suite struct ReportTests {
  private func loads() throws -> ExpertLoads {
    try LoadDistribution.zipf(exponent: 0.8).loads(layers: 3, experts: 16, tokens: 1e5, seed: 4)
  }

  @Test func reportsAreDeterministicAndOrdered() throws {
    let shape = try PlacementShape(experts: 16, redundant: 8, ranks: 8, nodes: 2, groups: 4)
    for mode in ExpertBalancer.Mode.allCases {
      let report = try BalanceReport(loads: loads(), shape: shape, mode: mode)
      let again = try BalanceReport(loads: loads(), shape: shape, mode: mode)
      #expect(report.document.json == again.document.json)
      #expect(report.layers.count == 3)
      for layer in report.layers {
        #expect(layer.balance <= layer.bound + 1e-9 && layer.weighted >= layer.balance - 1e-9)
      }
      #expect(report.text.contains("mean"))
      _ = try JSONValue.parse(bytes: Array(report.document.json.utf8))
    }
  }

  @Test func enginesGetTheirForms() throws {
    let loads = try ExpertLoads(rows: [[4, 1, 1], [1, 4, 1]], layers: [1, 2])
    let shape = try PlacementShape(experts: 3, redundant: 1, ranks: 2)
    let placed = try ExpertBalancer(shape: shape).place(loads)
    let sglang = try PlacementExport.sglang(
      placed, layers: loads.layers, modelLayers: 3, experts: 3)
    let rows = try JSONNode(sglang)["physical_to_logical_map"].array()
    #expect(try rows.map { try $0.ints() } == [[0, 1, 2, 0], placed[0].slots, placed[1].slots])
    #expect(try JSONNode(sglang).keys == ["physical_to_logical_map"])
    let yaml = try PlacementExport.tensorRTLLM(placed, layers: loads.layers)
    let list = placed[0].slots.map(String.init).joined(separator: ", ")
    #expect(yaml.hasPrefix("num_slots: 4\ninitial_global_assignments:\n  1: [\(list)]\n  2: ["))
    #expect(yaml.hasSuffix("]\nlayer_updates_per_iter: 0\n"))
    #expect(throws: PlacementError.self) {
      try PlacementExport.sglang(placed, layers: loads.layers, modelLayers: 2, experts: 3)
    }
  }

  @Test func moreReplicasCostMoreAndBalanceBetter() throws {
    let budget = try ReplicaBudget(
      loads: loads(), ranks: 4, expertBytes: 1 << 20, bytesPerRank: 3 * 9 << 20)
    #expect(budget.rows.count >= 2)
    for (a, b) in zip(budget.rows, budget.rows.dropFirst()) {
      #expect(b.bytesPerRank > a.bytesPerRank)
    }
    #expect(budget.rows[budget.chosen].balance > budget.rows[0].balance)
    #expect(throws: PlacementError.self) {
      try ReplicaBudget(loads: loads(), ranks: 4, expertBytes: 1 << 20, bytesPerRank: 1 << 20)
    }
  }
}
