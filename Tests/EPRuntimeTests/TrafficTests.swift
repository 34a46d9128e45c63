import EPBackendCPU
import EPIR
import EPModel
import EPPlan
import EPReference
import EPRuntime
import Testing

/// What dispatch and combine move is what plan and routing say.
@Suite struct TrafficTests {
  @Test(arguments: [Mesh(), Mesh(dp: 4, ep: 4), Mesh(dp: 3, ep: 3), Mesh(dp: 4, ep: 2)])
  func bytesFollowFromTheRouting(mesh: Mesh) throws {
    let plan = try ReferenceCase.plan(of: SmallModels.program(1, drafts: 0), mesh: mesh, tokens: 40)
    let pool = plan.pools[0]
    let session = try PlanSession(
      plan, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice())
    let prompts = SmallModels.prompts(5, count: mesh.dp)
    let result = try session.generate(
      GenerationRequest(prompts: prompts, count: 4, kept: [.routing]))
    var expected: [Int: Traffic] = [:]
    // With one prompt a data group, prompt i is in group i, which is rank i.
    for (rank, prompt) in result.prompts.enumerated() {
      for (first, tables) in [(0, prompt.routes), (prompt.prompt.count, prompt.decodeRoutes)] {
        for (layer, table) in tables {
          let placement = try #require(pool.placements.first { $0.layers.contains(layer) })
          var traffic = Traffic()
          for (choice, expert) in table.experts.enumerated() where expert >= 0 {
            if Int(expert) >= placement.experts { continue }
            let slots = placement.replicas[Int(expert)]
            let position = first + choice / table.topK
            let slot = slots[(position + Int(expert)) % slots.count]
            let isLocal = slot / placement.slotsPerRank == rank % mesh.ep
            if isLocal { traffic.localRows += 1 } else { traffic.remoteRows += 1 }
          }
          let bytes = pool.exchangeBytes(rows: traffic.remoteRows, width: 24)
          #expect(bytes == traffic.remoteRows * 24 * 2)
          (traffic.dispatchBytes, traffic.combineBytes) = (bytes, bytes)
          expected[layer, default: Traffic()] += traffic
        }
      }
    }
    #expect(!expected.isEmpty)
    #expect(result.statistics.traffic == [expected])
    if mesh.ep == 3 { #expect(pool.placements[0].slots.count == 9) }
  }
}
