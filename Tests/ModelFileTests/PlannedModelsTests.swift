import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import Foundation
import Testing

/// Plans of all model files: how far their schedules and arenas lie above the bounds.
@Suite struct PlannedModelsTests {
  private static let catalog = HardwareCatalog(
    folders: [
      ModelFiles.folder.deletingLastPathComponent().appending(path: "plugins/hardware").path
    ])
  private static let calibration = Result { try Calibration(catalog: catalog) }

  /// Models that do not fit what is asked for by default, with what does.
  private static let smaller: [String: (batch: Int?, tokens: Int?)] = [
    "kimi-k3.swift": (4, 4096), "longcat-flash.swift": (16, nil), "minimax-m2.5.swift": (32, nil),
    "qwen3-235b-a22b.swift": (32, nil),
  ]

  private func plan(
    _ name: String, _ role: Pool.Role, devices: Int, of hardware: String, batch: Int? = nil,
    tokens: Int? = nil, overlap: OverlapChoice = .auto
  ) async throws -> Plan {
    let program = try #require(await ModelFiles.reports.value[name]?.program)
    var pool = CompileRequest.PoolRequest(role)
    (pool.ep, pool.batch, pool.tokensPerDevice) = (devices, batch, tokens)
    let device = try Self.catalog.hardware(named: hardware)
    var request = CompileRequest(hardware: device, pools: [pool])
    request.cluster = Cluster(device, devices: devices)
    request.overlap = overlap
    request.calibration = try Self.calibration.get()
    return try Compiler.compile(Compilation(program, request))
  }

  private func check(_ plan: Plan, _ comment: Comment) {
    #expect(plan.pools.contains { $0.functions.contains { $0.schedule != nil } }, comment)
    for pool in plan.pools {
      for function in pool.functions {
        let least = pool.leastArenaBytes(of: function)
        #expect(function.arenaBytes >= least, comment)
        // What a search takes for enough (`PoolSketcher.mostArenaBytes`).
        let most = pool.alignedBytes(of: function).reduce(0, +)
        #expect(function.arenaBytes <= most, comment)
        #expect(
          Double(function.arenaBytes) <= 1.05 * Double(least),
          "\(comment): \(function.function.name) has \(function.arenaBytes) of \(least) bytes")
        guard let schedule = function.schedule else { continue }
        #expect(
          schedule.gap <= 0.01, "\(comment): \(function.function.name) is \(schedule.gap) above")
      }
    }
  }

  /// `benchmarks/schedules.sh` does this for all models in both phases.
  @Test(arguments: [
    ("deepseek-v3.2.swift", Pool.Role.decode), ("gpt-oss-120b.swift", .prefill),
    ("kimi-k3.swift", .decode), ("longcat-flash.swift", .decode),
    ("qwen3-next-80b-a3b.swift", .decode),
  ])
  func schedulesAndArenasAreNearTheirBounds(name: String, role: Pool.Role) async throws {
    let (batch, tokens) = Self.smaller[name] ?? (nil, nil)
    let (devices, hardware) = name == "kimi-k3.swift" ? (64, "h200") : (32, "h800")
    let plan = try await plan(
      name, role, devices: devices, of: hardware, batch: role == .decode ? batch : nil,
      tokens: role == .prefill ? tokens : nil)
    check(plan, "\(name), \(role.rawValue)")
  }

  /// Loads at which the streams and the way through a micro-batch take about equally long.
  @Test(arguments: [
    ("k2.swift", 320, 64), ("k2.swift", 320, 128), ("deepseek-v3.swift", 128, 128),
    ("deepseek-v3.2.swift", 128, 128),
  ])
  func largeDecodeBatchesAreNearTheirBounds(name: String, devices: Int, batch: Int) async throws {
    let plan = try await plan(name, .decode, devices: devices, of: "h800", batch: batch)
    #expect(plan.pools[0].microBatches > 1)
    check(plan, "\(name), \(batch) on \(devices)")
  }

  /// A combine of LongCat-Flash adds up rows on the compute stream beside another exchange: the order on
  /// its own stream is what micro-batches have in common.
  @Test func operationsAreIssuedAlikeInAllMicroBatches() async throws {
    let plan = try await plan(
      "longcat-flash.swift", .prefill, devices: 32, of: "h800", overlap: .microBatches(2))
    #expect(plan.pools[0].microBatches == 2)
    #expect(plan.verify().isEmpty)
  }
}
