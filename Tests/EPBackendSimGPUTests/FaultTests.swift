import EPBackendSimGPU
import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPPlan
import EPTestSupport
import Foundation
import Testing

@Suite struct FaultTests {
  private func options(_ faults: [FaultSchedule.Fault], steps: Int = 6) -> SimulationOptions {
    var options = SimulationOptions(steps: steps)
    options.faults = FaultSchedule(faults)
    return options
  }

  /// The wide plan with one data group fewer.
  private func replan(_ plan: Plan, _ pool: Int) throws(Diagnostics) -> Plan {
    do { return try widePlan(ranks: plan.pools[pool].mesh.dp - 1) } catch {
      throw Diagnostics("test", "\(error)")
    }
  }

  private func run(_ options: SimulationOptions) throws -> ClusterSimulation {
    let simulation = try ClusterSimulation(
      try widePlan(), model: try costModel(), options: options)
    simulation.replan = { (plan, pool) throws(Diagnostics) in try self.replan(plan, pool) }
    try simulation.run()
    return simulation
  }

  @Test func slowRanksHoldAllUpAndAreNamed() throws {
    let plain = try run(options([])).pools[0].outcome
    let slow = try run(
      options([FaultSchedule.Fault(.slowRank, rank: 5, step: 2, until: 4, factor: 3)]))
    let steps = slow.pools[0].outcome.steps
    #expect(Array(steps[0..<2]) == Array(plain.steps[0..<2]))
    #expect(steps[2].seconds > 1.3 * plain.steps[2].seconds)
    #expect(steps[3].seconds > 1.3 * plain.steps[3].seconds)
    #expect(steps[5].seconds < 1.05 * plain.steps[5].seconds)
    #expect(slow.faults.map(\.fault.rank) == [5])
    #expect(slow.text.contains("rank 5, step 2"))
  }

  @Test func slowLinksHoldExchangesUp() throws {
    let plain = try run(options([])).pools[0].outcome
    let slow = try run(options([FaultSchedule.Fault(.slowLink, rank: 3, step: 1, factor: 4)]))
    #expect(slow.pools[0].outcome.steps[1] > plain.steps[1])
    #expect(slow.pools[0].outcome.steps[0] == plain.steps[0])
  }

  @Test(arguments: [
    FaultSchedule.Fault.Kind.lostRank, .hungCollective, .deviceError,
  ])
  func lostRanksEndTheRunByName(kind: FaultSchedule.Fault.Kind) throws {
    do {
      _ = try run(options([FaultSchedule.Fault(kind, rank: 11, step: 3)]))
      Issue.record("the run went on")
    } catch let error as Diagnostics {
      #expect(error.description.contains("rank 11, step 3"))
      #expect(error.description.contains("dispatch"))
      #expect(error.description.contains("[simulated-fault]"))
    }
  }

  @Test(arguments: [0, 1]) func runsGoOnWithoutALostRank(spares: Int) throws {
    var options = options([FaultSchedule.Fault(.lostRank, rank: 11, step: 3)])
    options.recovers = true
    options.spares = spares
    let simulation = try run(options)
    let outcome = simulation.pools[0].outcome
    #expect(outcome.steps.count == 6)
    #expect(simulation.plan.pools[0].mesh.ranks == (spares == 0 ? 15 : 16))
    let recovery = try #require(simulation.faults.first?.recovery)
    #expect(recovery.loadedBytes > 0)
    #expect(recovery.seconds > 0)
    // A data group's sequences, each of the average length.
    #expect(recovery.recomputedTokens == 256 * 4096)
    #expect(outcome.elapsed.seconds > recovery.seconds + 1)
  }

  /// As many seeded schedules as EPC_FAULT_SCHEDULES says: none hangs, each run either ends with the
  /// lost rank's name or makes all its steps, and again the same.
  @Test func seededSchedulesNeverHang() throws {
    let count =
      ProcessInfo.processInfo.environment["EPC_FAULT_SCHEDULES"].flatMap { UInt64($0) } ?? 16
    var recovered = 0
    for seed in 0..<count {
      var options = SimulationOptions(steps: 4)
      options.resampling = 0
      options.faults = .random(seed: seed, count: 3, ranks: 13, steps: 4)
      options.recovers = seed % 4 != 0
      options.spares = Int(seed % 3)
      let fatal = options.faults.faults.filter(\.kind.isFatal)
      do {
        let simulation = try run(options)
        #expect(fatal.isEmpty || options.recovers)
        #expect(simulation.pools[0].outcome.steps.count == 4)
        #expect(simulation.faults.filter { $0.recovery != nil }.count == fatal.count)
        recovered += fatal.count
        if seed % 8 == 1 {
          let again = try run(options)
          #expect(again.pools[0].outcome.elapsed == simulation.pools[0].outcome.elapsed)
        }
      } catch let error as Diagnostics {
        let first = try #require(fatal.first)
        #expect(!options.recovers, "\(error)")
        #expect(error.description.contains("rank \(first.rank), step \(first.step)"))
      }
    }
    #expect(recovered > 0)
  }

  @Test func schedulesAreReadStrictly() throws {
    func read(_ text: String) throws -> FaultSchedule {
      try FaultSchedule(
        json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))), ranks: 8, steps: 10)
    }
    let schedule = try read(
      #"{"faults": [{"kind": "lost_rank", "rank": 7, "step": 2}], "timeout_ms": 500}"#)
    #expect(schedule.faults == [FaultSchedule.Fault(.lostRank, rank: 7, step: 2)])
    #expect(schedule.timeout == 0.5)
    #expect(
      try read(#"{"seed": 7, "count": 3}"#) == .random(seed: 7, count: 3, ranks: 8, steps: 10))
    for text in [
      #"{"faults": [{"kind": "lost_rank", "rank": 8, "step": 2}]}"#,
      #"{"faults": [{"kind": "gone", "rank": 1, "step": 2}]}"#,
      #"{"faults": [{"kind": "slow_rank", "rank": 1, "step": 2, "factor": 0.5}]}"#,
      #"{"faults": [{"kind": "slow_rank", "rank": 1, "step": 2, "until": 2}]}"#,
      #"{"faults": [{"rank": 1, "step": 2}]}"#, #"{"seed": 1}"#, "[]",
    ] {
      #expect(throws: (any Error).self, "\(text)") { try read(text) }
    }
  }
}

@Suite struct HealthTests {
  private func run(_ defects: [DeviceDefect], recovers: Bool, spares: Int) throws
    -> ClusterSimulation
  {
    var options = SimulationOptions(steps: 2)
    options.faults.defects = defects
    (options.recovers, options.spares) = (recovers, spares)
    let simulation = try ClusterSimulation(
      try widePlan(), model: try costModel(), options: options)
    simulation.replan = { (plan, pool) throws(Diagnostics) in
      do { return try widePlan(ranks: plan.pools[pool].mesh.dp - 1) } catch {
        throw Diagnostics("test", "\(error)")
      }
    }
    try simulation.run()
    return simulation
  }

  @Test(arguments: HealthCheck.Probe.allCases)
  func badDevicesAreFoundAndLeftOut(probe: HealthCheck.Probe) throws {
    let defects = [DeviceDefect(rank: 5, [probe: 0.5]), DeviceDefect(rank: 9, [probe: 0.95])]
    do {
      _ = try run(defects, recovers: false, spares: 0)
      Issue.record("the run began")
    } catch let error as Diagnostics {
      #expect(error.description.contains("rank 5: \(probe.rawValue) probe"), "\(error)")
      #expect(!error.description.contains("rank 9"))
    }
    let without = try run(defects, recovers: true, spares: 0)
    #expect(without.plan.pools[0].mesh.ranks == 15)
    #expect(without.pools[0].outcome.steps.count == 2)
    let found = try #require(without.health?.findings)
    #expect(found.map(\.rank) == [5])
    #expect(abs(found[0].share - 0.5) < 1e-9)
    let spared = try run(defects, recovers: true, spares: 1)
    #expect(spared.plan.pools[0].mesh.ranks == 16)
    #expect(spared.text.contains("a spare takes its place"))
  }

  @Test func soundDevicesPass() throws {
    let simulation = try run([], recovers: false, spares: 0)
    #expect(simulation.health?.findings.isEmpty == true)
    #expect((simulation.health?.seconds ?? 0) > 0)
    #expect(!simulation.text.contains("health"))
  }

  @Test func defectsAreReadStrictly() throws {
    func read(_ text: String) throws -> FaultSchedule {
      try FaultSchedule(
        json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))), ranks: 8, steps: 10)
    }
    let schedule = try read(#"{"defects": [{"rank": 3, "compute": 0.5, "links": 0.25}]}"#)
    #expect(schedule.defects == [DeviceDefect(rank: 3, [.compute: 0.5, .links: 0.25])])
    for text in [
      #"{"defects": [{"rank": 8, "compute": 0.5}]}"#, #"{"defects": [{"rank": 3, "compute": 0}]}"#,
      #"{"defects": [{"rank": 3, "speed": 0.5}]}"#, #"{"defects": [{"compute": 0.5}]}"#,
    ] {
      #expect(throws: (any Error).self, "\(text)") { try read(text) }
    }
  }
}
