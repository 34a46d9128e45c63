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
    let chosen = budget.rows[budget.chosen]
    #expect(chosen.balance > budget.rows[0].balance)
    // Layers of their own slots use no more memory, and do at least as well for it.
    #expect(budget.layersBytesPerRank <= chosen.bytesPerRank)
    let slowness = budget.layers.reduce(0) { $0 + 1 / $1.balance } / 3
    #expect(slowness <= 1 / chosen.balance + 0.05)
    #expect(budget.layers.allSatisfy { $0.slotsPerRank >= 4 && $0.nextGainPerGiB >= 0 })
    #expect(throws: PlacementError.self) {
      try ReplicaBudget(loads: loads(), ranks: 4, expertBytes: 1 << 20, bytesPerRank: 1 << 20)
    }
  }

  @Test func migrationsAreReportedStepByStepAndReadBack() throws {
    let loads = try loads()
    let shape = try PlacementShape(experts: 16, redundant: 8, ranks: 8, nodes: 2, groups: 4)
    let old = try ExpertBalancer(shape: shape).place(loads).map(\.slots)
    let other = try LoadDistribution.zipf(exponent: 0.8).loads(
      layers: 3, experts: 16, tokens: 1e5, seed: 5)
    let report = try MigrationReport(
      from: old, loads: other, previous: loads, shape: shape, budget: 12, expertBytes: 1 << 20,
      bytesPerStep: 1 << 20)
    #expect(report.chosen.copies <= 12 && report.migration.worstStepBytes <= 1 << 20)
    #expect(report.chosen.balance > report.rows[0].balance)
    for (a, b) in zip(report.rows, report.rows.dropFirst()) { #expect(a.copies < b.copies) }
    let root = JSONNode(try JSONValue.parse(bytes: Array(report.document.json.utf8)))
    let steps = try root["steps"].array()
    #expect(try steps.reduce(0) { $0 + (try $1.array().count) } == report.migration.copies)
    let placed = try PlacedLayers(json: root)
    #expect(placed.shape == shape && placed.slots == report.migration.slots)
    #expect(try placed.slots(of: [1, 2]) == Array(report.migration.slots[1...]))
    #expect(throws: PlacementError.self) { try placed.slots(of: [7]) }
    #expect(report.text().contains("placed anew"))
    let again = try BalanceReport(loads: loads, shape: shape, mode: .global)
    let read = try PlacedLayers(
      json: JSONNode(try JSONValue.parse(bytes: Array(again.document.json.utf8))))
    #expect(read.slots == again.placements.map(\.slots))
    #expect(again.picture.hasPrefix("<svg") && again.picture.hasSuffix("</svg>\n"))
  }

  @Test func policiesAreReportedBesideNothingAndAll() throws {
    let first = try loads()
    let second = try LoadDistribution.zipf(exponent: 0.8).loads(
      layers: 3, experts: 16, tokens: 1e5, seed: 5)
    let shape = try PlacementShape(experts: 16, redundant: 8, ranks: 8)
    let report = try PolicyReport(
      [RebalancePolicy(action: .partial(budget: 0.2), period: 2, threshold: 0.95)],
      over: try LoadTrace(windows: [first, second, second]),
      in: PolicySimulation(shape: shape, expertBytes: 10, bytesPerStep: 10))
    #expect(
      report.outcomes.map(\.name) == ["nothing", "20.0 % every 2, below 0.95", "placed anew"])
    #expect(report.text.contains("placed anew"))
    _ = try JSONValue.parse(bytes: Array(report.document.json.utf8))
  }
}
