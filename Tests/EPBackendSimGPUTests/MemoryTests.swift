import EPBackendSimGPU
import EPIR
import EPTestSupport
import Testing

@Suite struct MemoryTests {
  @Test func devicesRefuseMoreThanTheyHave() throws {
    var memory = SimulatedMemory(ranks: 2, firstRank: 4, capacity: 3 << 30)
    try memory.allocate("weights", 2 << 30, on: 0)
    #expect(throws: Diagnostics.self) { try memory.allocate("KV cache", (1 << 30) + 1, on: 0) }
    do {
      try memory.allocate("KV cache", 2 << 30, on: 0)
      Issue.record("4 GiB of 3 were allocated")
    } catch {
      #expect(error.description.contains("simulated-oom"))
      #expect(error.description.contains("rank 4"))
      #expect(error.description.contains("weights 2.00 GiB"))
    }
    try memory.allocate("KV cache", 1 << 30, on: 0)
    #expect(memory.used(by: 0) == 3 << 30)
    memory.free("KV cache", 1 << 30, on: 0)
    #expect(memory.spread == (0, 2 << 30, 2 << 30))
  }

  @Test func plansThatDoNotFitEndWithTheTable() throws {
    let plan = try widePlan()
    do {
      _ = try ClusterSimulation(
        plan, model: try costModel(), options: SimulationOptions(steps: 1), capacity: 64 << 20)
      Issue.record("64 MiB were enough")
    } catch let error as Diagnostics {
      #expect(error.description.contains("simulated-oom"))
      #expect(error.description.contains("allocated are"))
    }
  }
}
