import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import Testing

/// Expert ranks that gather all tokens instead of exchanging them.
@Suite struct GatherTests {
  /// DeepSeek-V3 that decodes 64 sequences a rank, whose ranks gather tokens, or not.
  private func estimator(ep: Int, gathers: Bool, balancedness: Double = 1) throws -> StepEstimator {
    let model = try Repository.model("h200")
    var pool = CompileRequest.PoolRequest(.decode)
    (pool.dp, pool.tp, pool.ep, pool.pp, pool.batch) = (ep, 1, ep, 1, 64)
    pool.gathersTokens = gathers
    var request = CompileRequest(hardware: model.hardware, pools: [pool])
    request.cluster = Cluster(model.hardware, devices: ep)
    let plan = try Compiler.compile(Compilation(deepSeekV3(), request))
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.assumedBalancedness = balancedness
    return estimator
  }

  private func seconds(
    _ part: OpEstimate.Part, _ estimator: StepEstimator
  ) throws -> Double {
    let calls = estimator.estimate().stages.joined()
    return try #require(calls.map { $0.time(of: part).value }.max())
  }

  @Test func plansSayThatTokensAreGathered() throws {
    for gathers in [true, false] {
      let made = try estimator(ep: 8, gathers: gathers)
      let algorithms = made.pool.functions.flatMap(\.function.operations)
        .filter { $0.kind == .dispatch || $0.kind == .combine }
        .map { $0.attributes.text("algorithm") }
      #expect(Set(algorithms) == [gathers ? "all_gather" : "low_latency"])
      #expect(made.gathersTokens == gathers && made.usesLowLatency == !gathers)
    }
  }

  @Test func gatheringDoesNotDependOnWhereTokensGo() throws {
    for part in [OpEstimate.Part.dispatch, .combine] {
      let even = try seconds(part, estimator(ep: 16, gathers: true))
      #expect(try seconds(part, estimator(ep: 16, gathers: true, balancedness: 0.5)) == even)
      let sent = try seconds(part, estimator(ep: 16, gathers: false))
      #expect(
        try seconds(part, estimator(ep: 16, gathers: false, balancedness: 0.5)) > sent * 1.05)
    }
  }

  /// Every rank receives all tokens, however few of them its experts take: it costs little more than
  /// an All-to-All where a token goes to nearly all ranks, and more with each rank.
  @Test func gatheringGrowsWithRanksAndLosesToAllToAll() throws {
    var last = 0.0
    for ep in [8, 16, 32, 64] {
      let gathered = try estimator(ep: ep, gathers: true)
      let time = try seconds(.dispatch, gathered) + seconds(.combine, gathered)
      #expect(time > last)
      last = time
      let bytes = gathered.estimate().stages.joined().flatMap(\.operations)
        .filter { $0.part == .dispatch }.map(\.bytes)
      // 14,336 bytes of a token in bf16, of 64 tokens of each other rank.
      #expect(bytes == [Double(64 * (ep - 1) * 14_336)])
    }
    let sent = try estimator(ep: 64, gathers: false)
    #expect(try last > seconds(.dispatch, sent) + seconds(.combine, sent))
  }

  /// Rings enter a node through all its links at once: of several nodes an all-gather is nearly as
  /// fast as in one, 400 to 450 GB/s of bus bandwidth on H100 with a 400 Gb/s link for each
  /// (saturncloud.io/blog/crusoe-nccl-cluster-validation).
  @Test(arguments: [Kernel.Collective.Form.allReduce, .allGather, .reduceScatter])
  func collectivesOverNodesUseTheLinksOfAllDevices(form: Kernel.Collective.Form) throws {
    let model = try Repository.model("h100")
    func seconds(_ node: Double, ranks: Double = 16) -> Double {
      model.time(
        of: .collective(
          Kernel.Collective(form: form, ranks: ranks, node: node, bytes: 8e9))
      ).value
    }
    let bus = (form == .allReduce ? 2 : 1) * 15.0 / 16 * 8e9 / seconds(8)
    #expect(bus > 280e9 && bus < 450e9)
    // A device a node has one link, and so has each of one node's.
    #expect(seconds(1) > 5 * seconds(8))
    #expect(seconds(8) > seconds(16))
    #expect(seconds(8, ranks: 32) > seconds(8))
  }
}
