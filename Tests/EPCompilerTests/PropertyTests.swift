import EPCompiler
import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// Random models on random meshes: a plan that verifies and survives its JSON, or a refusal that
/// names its rule and the fix.
@Suite struct PropertyTests {
  @Test func everyModelCompilesOrIsRefused() throws {
    var random = SeededGenerator(seed: UInt64(testCount("EPC_PROPERTY_SEED", default: 11)))
    let rounds = testCount("EPC_PROPERTY_ROUNDS", default: 40)
    var compiled = 0
    var refused: [String: Int] = [:]
    for round in 0..<rounds {
      let program = RandomModel.make(&random)
      let roles: [Pool.Role] =
        random.once(in: 4) ? [.prefill, .decode] : [random.pick(Pool.Role.allCases)]
      var pools: [CompileRequest.PoolRequest] = []
      for role in roles {
        let (pp, dp, tp, ep) = RandomModel.sizes(&random)
        var pool = CompileRequest.PoolRequest(role)
        (pool.pp, pool.tp) = (pp, tp)
        if !random.once(in: 5) { pool.dp = dp }
        if !random.once(in: 3) { pool.ep = ep }
        if random.once(in: 4) { pool.redundantExperts = random.below(9) }
        if random.once(in: 4) { pool.batch = 1 + random.below(5) }
        pools.append(pool)
      }
      let request = CompileRequest(hardware: try SamplePlans.hardware(), pools: pools)
      do {
        let plan = try Compiler.compile(Compilation(program, request))
        let bytes = try plan.serialized()
        let again = try Plan(bytes: bytes)
        #expect(again == plan)
        #expect(try again.serialized() == bytes)
        compiled += 1
      } catch let error as Diagnostics {
        for diagnostic in error.all {
          refused[diagnostic.id, default: 0] += 1
          #expect(
            diagnostic.message.contains("; "),
            "round \(round), \(pools.map { "\($0)" }): no fix in \(diagnostic)")
        }
        #expect(!error.all.contains { $0.id == "compiler-bug" }, "round \(round): \(error)")
      }
    }
    #expect(compiled > rounds / 10)
    if rounds > 500 { print("property: \(compiled) compiled, refused \(refused)") }
  }

  @Test func everyCollectiveIsRead() throws {
    for (name, plan) in try SamplePlans.all() {
      for function in plan.pools.flatMap(\.functions).map(\.function) {
        var read = Set(function.results.map(\.value))
        for operand in function.operations.flatMap(\.operands) {
          if case .value(let value) = operand.reference { read.insert(value) }
        }
        for operation in function.operations where operation.kind.isCollective {
          #expect(operation.results.allSatisfy { read.contains($0) }, "\(name): \(operation)")
        }
      }
    }
  }

  @Test func everyPassIsDeterministic() throws {
    var random = SeededGenerator(seed: 3)
    let program = RandomModel.make(&random)
    let request = CompileRequest(hardware: try SamplePlans.hardware())
    let first = try Compiler.compile(Compilation(program, request)).serialized()
    #expect(try Compiler.compile(Compilation(program, request)).serialized() == first)
  }
}
