import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPTestSupport
import Testing

@Suite struct CompileTests {
  @Test(arguments: [
    Mesh(), Mesh(dp: 4, ep: 4), Mesh(dp: 2, tp: 2, ep: 4), Mesh(tp: 4, ep: 1),
    Mesh(dp: 2, tp: 4, ep: 2), Mesh(pp: 2, dp: 2, tp: 2, ep: 4), Mesh(dp: 8, ep: 2),
    Mesh(dp: 2, tp: 4, ep: 4),
  ])
  func plansVerifyAndSurviveJSON(mesh: Mesh) throws {
    for role in Pool.Role.allCases {
      var pool = CompileRequest.PoolRequest(role)
      (pool.pp, pool.dp, pool.tp, pool.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
      let request = CompileRequest(hardware: try SamplePlans.hardware(), pools: [pool])
      let plan = try Compiler.compile(Compilation(SampleModels.tinyDeepSeek(), request))
      #expect(plan.pools[0].mesh == mesh)
      let bytes = try plan.serialized()
      let again = try Plan(bytes: bytes)
      #expect(again == plan)
      #expect(try again.serialized() == bytes)
    }
  }

  /// Where ranks hold parts of experts, routers of few tokens need no exchange of their own; where they
  /// hold whole ones, each scores its own tokens.
  @Test(arguments: [
    (Mesh(tp: 4, ep: 1), [Pool.Role.decode: 1, .prefill: 2, .unified: 2]),
    (Mesh(tp: 2, ep: 2), [.decode: 0, .prefill: 0, .unified: 0]),
  ])
  func routersGatherOnlyWhatExpertsDoNot(mesh: Mesh, gathers: [Pool.Role: Int]) throws {
    for role in Pool.Role.allCases {
      let plan = try SamplePlans.plan(SampleModels.tinyDeepSeek(), [(role, mesh)])
      let layer = try #require(
        plan.pools[0].functions.first { function in
          function.function.operations.contains { $0.kind == .route }
        }?.function)
      let route = try #require(layer.operations.firstIndex { $0.kind == .route })
      let attention = try #require(layer.operations.firstIndex { $0.kind == .latentAttention })
      let dispatch = try #require(layer.operations.firstIndex { $0.kind == .dispatch })
      #expect(attention < route)
      #expect(
        layer.operations[attention...dispatch].count { $0.kind == .allGather } == gathers[role],
        "\(role)")
    }
  }

  /// Pools of one form are sharded alike, whichever of them is sketched first.
  @Test func poolsOfOneFormShareFunctions() throws {
    let request = CompileRequest(hardware: try SamplePlans.hardware(), pools: [])
    let sketcher = try PoolSketcher(SampleModels.tinyDeepSeek(), request)
    var known: [PoolSketcher.Form: [ShardedFunction]] = [:]
    for mesh in [Mesh(), Mesh(dp: 4, ep: 4), Mesh(tp: 2, ep: 1), Mesh(tp: 2, ep: 2)] {
      for role in Pool.Role.allCases {
        let functions = try sketcher.functions(
          of: Pool(
            role: role, firstRank: 0, mesh: mesh,
            load: Pool.Load(sequences: 1, tokens: 1, context: 1), activations: .bf16))
        let form = PoolSketcher.Form(role, mesh)
        #expect(functions == known[form] ?? functions, "\(role) of \(mesh)")
        known[form] = functions
      }
    }
    // Roles differ in form only where experts are split.
    #expect(known.count == 5)
  }
}
