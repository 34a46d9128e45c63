internal import EPBackend
internal import EPBackendCPU
internal import EPCompiler
internal import EPCost
internal import EPIR
internal import EPJSON
internal import EPModel
internal import EPPlan
internal import EPRuntime

/// A small model on some mesh, compared with the same model on one rank.
struct SampleRun: Sendable {
  /// `plans`, or `streams` where exchanges run beside compute.
  var group: String
  /// `latent attention, dp2 tp2 ep4`.
  var name: String
  private var program: @Sendable () -> ModelProgram
  private var pools: [(Pool.Role, Mesh)]
  private var redundant: Int?
  private var overlap: CompileRequest.Overlap
  /// Whether the reference runs on one rank, rather than the device itself.
  private var isAgainstReference: Bool

  static let all: [SampleRun] = {
    var runs: [SampleRun] = []
    for (name, program) in SampleProgram.all {
      runs.append(
        SampleRun(
          name: "\(name), one rank", program: program, pools: [(.unified, Mesh())],
          isAgainstReference: true))
      let meshes: [(String, [(Pool.Role, Mesh)], Int?)] = [
        ("tensor parallel", [(.unified, Mesh(tp: 2))], nil),
        ("expert parallel", [(.unified, Mesh(dp: 4, ep: 4))], nil),
        ("both", [(.unified, Mesh(dp: 2, tp: 2, ep: 4))], nil),
        ("experts over data groups", [(.unified, Mesh(dp: 2, tp: 2, ep: 1))], nil),
        ("redundant experts", [(.unified, Mesh(dp: 2, ep: 2))], 2),
        ("pipeline", [(.unified, Mesh(pp: 2, dp: 2, ep: 2))], nil),
        ("prefill and decode", [(.prefill, Mesh(tp: 2)), (.decode, Mesh(dp: 2, ep: 2))], nil),
      ]
      runs += meshes.map { mesh, pools, redundant in
        SampleRun(
          name: "\(name), \(mesh)", program: program, pools: pools, redundant: redundant,
          isAgainstReference: false)
      }
      let overlaps: [(String, Mesh, Int)] = [
        ("exchanges beside compute", Mesh(dp: 2, tp: 2, ep: 4), 1),
        ("two micro-batches", Mesh(dp: 2, tp: 2, ep: 4), 2),
        ("three, in a pipeline", Mesh(pp: 2, dp: 2, ep: 2), 3),
      ]
      runs += overlaps.map { overlap, mesh, count in
        SampleRun(
          group: "streams", name: "\(name), \(overlap)", program: program,
          pools: [(.unified, mesh)], overlap: .microBatches(count), isAgainstReference: false)
      }
    }
    return runs
  }()

  private init(
    group: String = "plans", name: String, program: @escaping @Sendable () -> ModelProgram,
    pools: [(Pool.Role, Mesh)], redundant: Int? = nil, overlap: CompileRequest.Overlap = .none,
    isAgainstReference: Bool
  ) {
    self.group = group
    self.overlap = overlap
    self.name = name
    self.program = program
    self.pools = pools
    self.redundant = redundant
    self.isAgainstReference = isAgainstReference
  }

  static let request = GenerationRequest(
    prompts: [[3, 14, 15, 92, 65, 35, 8], [27, 18, 28], [1, 61, 80]], count: 5, kept: .logits)

  /// - Parameter runner: what runs the plan; the device itself without it.
  func row<D: Device>(
    _ device: D, _ precision: Conformance.Precision, _ runner: Conformance.Runner? = nil
  ) -> Conformance.Row {
    let bound = precision.logitsBound
    let (group, name) = (device.runsPrograms ? "programs" : self.group, self.name)
    func row(_ outcome: Conformance.Row.Outcome, _ error: Double? = nil) -> Conformance.Row {
      Conformance.Row(group, name, outcome, error: error, bound: error == nil ? nil : bound)
    }
    do {
      let program = program()
      let plan = try SampleRun.plan(program, pools, redundant: redundant, overlap: overlap)
      let made =
        if let runner {
          try runner(plan, WeightStore(SampleRun.weights, for: plan), SampleRun.request)
        } else {
          try SampleRun.run(plan, device)
        }
      guard let made else {
        let ranks = plan.pools.reduce(0) { $0 + $1.mesh.ranks }
        return row(.unsupported("it takes \(ranks) process(es)"))
      }
      let single = try SampleRun.plan(program, [(.unified, Mesh())])
      let wanted =
        isAgainstReference
        ? try SampleRun.run(single, ReferenceDevice()) : try SampleRun.run(single, device)
      let error =
        zip(made.prompts, wanted.prompts).map { own, other in
          SampleRun.normalisedError(own.prefillLogits, other.prefillLogits)
        }.max() ?? .infinity
      if !(error <= bound) { return row(.failed("logits are too far off"), error) }
      if precision == .fp32, made.prompts.map(\.tokens) != wanted.prompts.map(\.tokens) {
        return row(.failed("it makes other tokens"), error)
      }
      return row(.passed, error)
    } catch ExecutionError.backend(.unsupported(let operation, let reason)) {
      return row(.unsupported("'\(operation)': \(reason)"))
    } catch { return row(.failed("\(error)")) }
  }

  private static let weights = WeightSource.synthetic(seed: 7)

  static func run<D: Device>(_ plan: Plan, _ device: D) throws -> GenerationResult {
    try PlanSession(plan, weights: WeightStore(weights, for: plan), device: device)
      .generate(request)
  }

  static func plan(
    _ program: ModelProgram, _ pools: [(Pool.Role, Mesh)], redundant: Int? = nil,
    overlap: CompileRequest.Overlap = .none
  ) throws -> Plan {
    let text = """
      {"name": "any", "label": "Any", "devices_per_node": 8, "memory_gb": 1000,
       "memory_tb_per_s": 1, "peak_tflops": {"bf16": 100}, "scale_up_gb_per_s": 100,
       "scale_out_gb_per_s": 10, "source": "a machine with room"}
      """
    let hardware = try Hardware(json: JSONNode(try JSONValue.parse(bytes: Array(text.utf8))))
    var request = CompileRequest(
      hardware: hardware,
      pools: pools.map { role, mesh in
        var pool = CompileRequest.PoolRequest(role)
        (pool.pp, pool.dp, pool.tp, pool.ep) = (mesh.pp, mesh.dp, mesh.tp, mesh.ep)
        (pool.batch, pool.tokensPerDevice) = (4, 64)
        pool.samples = 64
        pool.redundantExperts = redundant
        return pool
      })
    request.activations = .fp32
    request.overlap = overlap
    return try Compiler.compile(Compilation(program, request))
  }

  private static func normalisedError(_ made: [Float], _ wanted: [Float]) -> Double {
    guard made.count == wanted.count, !wanted.isEmpty else { return .infinity }
    var (difference, magnitude) = (0.0, 0.0)
    for (a, b) in zip(made, wanted) {
      difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
      magnitude += Double(b) * Double(b)
    }
    return difference / max(magnitude, 1e-30)
  }
}
