public import EPCompiler
public import EPCost
public import EPIR
internal import EPJSON
public import EPModel
public import EPPlan

/// Plans of the sample models.
public enum SamplePlans {
  /// A device of 141 GB, or as given.
  public static func hardware(
    named name: String = "test", memoryGB: Double = 141
  ) throws -> Hardware {
    let text = """
      {"name": "\(name)", "label": "Test", "devices_per_node": 8, "memory_gb": \(memoryGB),
       "memory_tb_per_s": 4.8, "peak_tflops": {"bf16": 989}, "scale_up_gb_per_s": 450,
       "scale_out_gb_per_s": 50, "source": "test"}
      """
    return try Hardware(json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))))
  }

  /// A request for pools of given meshes.
  public static func request(
    _ pools: [(Pool.Role, Mesh)], memoryGB: Double = 141
  ) throws -> CompileRequest {
    var requests: [CompileRequest.PoolRequest] = []
    for (role, mesh) in pools {
      var pool = CompileRequest.PoolRequest(role)
      (pool.pp, pool.dp, pool.tp, pool.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
      requests.append(pool)
    }
    return CompileRequest(hardware: try hardware(memoryGB: memoryGB), pools: requests)
  }

  /// A compiled plan.
  public static func plan(
    _ program: ModelProgram, _ pools: [(Pool.Role, Mesh)],
    overlap: CompileRequest.Overlap = .none
  ) throws -> Plan {
    var request = try request(pools)
    request.overlap = overlap
    return try Compiler.compile(Compilation(program, request))
  }

  /// Ways of spreading a model that the sample models with experts can be compiled for.
  public static let spreads: [[(Pool.Role, Mesh)]] = [
    [(.unified, Mesh())],
    [(.decode, Mesh(dp: 4, ep: 4))],
    [(.unified, Mesh(tp: 4, ep: 1))],
    [(.prefill, Mesh(dp: 2, tp: 2, ep: 4))],
    [(.decode, Mesh(dp: 2, tp: 4, ep: 2))],
    [(.unified, Mesh(pp: 2, dp: 2, tp: 2, ep: 4))],
    [(.prefill, Mesh(dp: 1, tp: 2, ep: 2)), (.decode, Mesh(dp: 4, tp: 1, ep: 4))],
  ]

  /// Every sample model in every way that it can be spread.
  public static func all() throws -> [(name: String, plan: Plan)] { try compiled.get() }

  private static let compiled = Result { try compileAll() }

  private static func compileAll() throws -> [(name: String, plan: Plan)] {
    var plans: [(name: String, plan: Plan)] = []
    for (name, program) in SampleModels.all {
      for pools in spreads {
        let usesExperts = program.functions.contains {
          $0.operations.contains { $0.kind == .dispatch }
        }
        let fitting = pools.map { role, mesh in
          (role, Mesh(pp: mesh.pp, dp: mesh.dp, tp: mesh.tp, ep: usesExperts ? mesh.ep : 1))
        }
        let label = fitting.map { "\($0.0.rawValue) \($0.1)" }.joined(separator: " + ")
        plans.append(("\(name) \(label)", try plan(program, fitting)))
      }
      // Schedules too, of one batch and of two.
      for (role, mesh, count) in [
        (Pool.Role.decode, Mesh(dp: 4, ep: 4), 2), (.prefill, Mesh(dp: 2, tp: 2, ep: 4), 1),
        (.unified, Mesh(pp: 2, dp: 2, tp: 2, ep: 4), 2),
      ] where program.functions.contains(where: { $0.operations.contains { $0.kind == .dispatch } })
      {
        plans.append(
          (
            "\(name) \(role.rawValue) \(mesh), \(count) micro-batches",
            try plan(program, [(role, mesh)], overlap: .microBatches(count))
          ))
      }
    }
    return plans
  }
}
