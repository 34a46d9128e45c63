import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlacement
import EPPlan
import EPTestSupport
import Testing

/// Plans for devices of unlike speed and memory.
@Suite struct UnlikeDevicesTests {
  private func compile(
    _ unlike: [UnlikeDevices], ranks: Int = 2, memoryGB: Double = 141,
    _ change: (inout CompileRequest) -> Void = { _ in }
  ) throws -> Plan {
    var request = try SamplePlans.request([(.unified, Mesh(dp: ranks, ep: ranks))])
    var cluster = Cluster(try SamplePlans.hardware(memoryGB: memoryGB), devices: ranks)
    cluster.unlike = unlike
    request.cluster = cluster
    request.pools[0].batch = 2
    request.pools[0].tokensPerDevice = 64
    request.context = 64
    change(&request)
    return try Compiler.compile(Compilation(SampleModels.tinyDeepSeek(), request))
  }

  private func held(_ plan: Plan) -> [Int] {
    let placement = plan.pools[0].placements[0]
    return (0..<plan.pools[0].mesh.ep).map { placement.experts(ofRank: $0).count }
  }

  private let plenty = 1 << 37

  @Test func expertsFollowSpeed() throws {
    let plan = try compile([UnlikeDevices(ranks: 1...1, speed: 0.25, memoryBytes: plenty)])
    let experts = plan.pools[0].placements[0].experts
    let slow = held(plan)[1]
    #expect(held(plan) == [experts - slow, slow])
    // Done alike: a fifth of the experts, as near as whole ones come.
    #expect(abs(Double(slow) - Double(experts) / 5) <= 1)
    #expect(plan.verify() == [])
    #expect(plan.decisions.contains { $0.contains("by speed and memory") })
    let four = try compile(
      [UnlikeDevices(ranks: 2...3, speed: 3, memoryBytes: plenty)], ranks: 4)
    #expect(held(four)[2] > 2 * held(four)[0] && held(four)[2] > 2 * held(four)[1])
  }

  @Test func memoryLimitsWhatAFastDeviceHolds() throws {
    let free = try compile([UnlikeDevices(ranks: 0...0, speed: 8, memoryBytes: plenty)])
    let tables = free.pools[0].memory
    let all = free.pools[0].expertBytes(
      ofStage: 0, expertRank: 0, precision: free.model.precision)
    // What it holds beside experts, and half of the experts that it would take.
    let bytes = Double(tables[0].total - tables[0].expertWeights + all / 2) / 0.9
    let limited = try compile([UnlikeDevices(ranks: 0...0, speed: 8, memoryBytes: Int(bytes))])
    #expect(held(limited)[0] < held(free)[0] && held(limited)[0] > 0)
    #expect(held(limited).reduce(0, +) == held(free).reduce(0, +))
    #expect(limited.verify() == [])
    // The verifier holds each rank to its own device.
    var tight = limited
    tight.cluster.unlike[0].memoryBytes /= 2
    #expect(tight.verify().map(\.id) == ["memory"])
    #expect(throws: Diagnostics.self) {
      try compile([UnlikeDevices(ranks: 0...1, speed: 2, memoryBytes: 1 << 16)])
    }
  }

  @Test func plansWithEmptySlotsAreReadAsWritten() throws {
    let plan = try compile([UnlikeDevices(ranks: 1...1, speed: 0.25, memoryBytes: plenty)])
    let bytes = try plan.serialized()
    let read = try Plan(bytes: bytes)
    #expect(read == plan)
    #expect(try read.serialized() == bytes)
    var gap = plan
    gap.pools[0].placements[0].slots.swapAt(
      gap.pools[0].placements[0].slotsPerRank, gap.pools[0].placements[0].slots.count - 1)
    #expect(gap.verify().contains { $0.id == "placement-empty" })
  }

  @Test func loadsDecideWhichExpertsAreOnTheFastDevice() throws {
    let unlike = [UnlikeDevices(ranks: 1...1, speed: 0.1, memoryBytes: plenty)]
    let plain = try compile(unlike)
    let layers = plain.pools[0].placements.flatMap(\.layers).count
    let experts = plain.pools[0].placements[0].experts
    let rows = (0..<layers).map { _ in (0..<experts).map { $0 < 3 ? 1.0 : 100.0 } }
    let loads = try ExpertLoads(rows: rows)
    let plan = try compile(unlike) { request in
      request.loads = .measured(loads)
      request.drafts = 0
    }
    // The three that nobody asks for are where they cost least.
    let placement = try #require(plan.pools[0].placements.first)
    #expect(Set(placement.experts(ofRank: 1)).isSuperset(of: [0, 1, 2]))
    #expect(throws: Diagnostics.self) {
      var copy = plan
      try copy.placeExperts(for: .measured(try ExpertLoads(rows: rows)))
    }
  }
}
