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
}
