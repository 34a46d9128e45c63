import EPBackendCPU
import EPCheckpoint
import EPIR
import EPModel
import EPPlan
import EPReference
import EPRuntime
import Glibc
import Testing

/// A checkpoint written for a plan's model, with faults to order.
struct CheckpointFile {
  var tensors: [String: (shape: [Int], values: [Float])] = [:]
  var tables: [String: (shape: [Int], values: [Int64])] = [:]
  let path: String

  init(for plan: Plan, name: String) {
    path = "/tmp/epc-weights-\(getpid())-\(name).safetensors"
    var seed = 0
    for call in plan.pools[0].stages.flatMap({ $0 }) + plan.pools[0].drafts {
      for weight in plan.pools[0].functions[call.function].function.weights {
        guard let place = weight.stored.first else { continue }
        for layer in weight.name.contains("{layer}") ? call.layers : [0] {
          let full = place.name.replacing("{layer}", with: "\(layer)")
          let isPerExpert = full.contains("{expert}")
          var shape = weight.axes.dropFirst(isPerExpert ? 1 : 0).map { $0.size ?? 1 }
          if case .range(_, let rows, let total) = place.rows {
            shape = [total, shape.reduce(1, *) / rows]
          }
          for expert in 0..<(isPerExpert ? weight.axes[0].size ?? 1 : 1) {
            seed += 1
            let tensor = full.replacing("{expert}", with: "\(expert)")
            let count = shape.reduce(1, *)
            if tensor.hasSuffix("tid2eid") {
              tables[tensor] = (shape, (0..<count).map { Int64($0 * 5 % 8) })
            } else {
              tensors[tensor] = (shape, numbers(count, seed).map { $0 / 4 })
            }
          }
        }
      }
    }
  }

  func write() throws {
    var writer = SafetensorsWriter()
    for (name, tensor) in tensors { try writer.add(name, shape: tensor.shape, tensor.values) }
    for (name, table) in tables { try writer.add(name, shape: table.shape, table.values) }
    try writer.write(to: path)
  }

  func open() throws -> Checkpoint {
    try write()
    defer { unsafe _ = unlink(path) }
    return try Checkpoint.open(path)
  }
}

@Suite struct WeightTests {
  private func plan(_ mesh: Mesh = Mesh(), _ number: Int = 8) throws -> Plan {
    try ReferenceCase.plan(of: SmallModels.program(number), mesh: mesh, tokens: 40)
  }

  private func failure(_ name: String, _ change: (inout CheckpointFile) -> Void) throws -> String {
    let plan = try plan()
    var file = CheckpointFile(for: plan, name: name)
    change(&file)
    do {
      let store = try WeightStore(.checkpoint(try file.open()), for: plan)
      _ = try PlanSession(plan, weights: store, device: CPUDevice())
      return ""
    } catch { return "\(error)" }
  }

  @Test func aCompleteCheckpointLoadsAlikeOnAllMeshes() throws {
    let file = CheckpointFile(for: try plan(), name: "complete")
    let checkpoint = try file.open()
    var request = GenerationRequest(prompts: SmallModels.prompts(1), count: 3, kept: [.logits])
    request.modalities = []
    var whole: GenerationResult?
    for mesh in [Mesh(), Mesh(dp: 4, ep: 4), Mesh(tp: 2, ep: 1), Mesh(dp: 2, tp: 4, ep: 2)] {
      guard let plan = try? plan(mesh) else { continue }
      let store = try WeightStore(.checkpoint(checkpoint), for: plan)
      let result = try PlanSession(plan, weights: store, device: CPUDevice()).generate(request)
      let expected = whole ?? result
      for (a, b) in zip(expected.prompts, result.prompts) {
        #expect(a.tokens == b.tokens && difference(a.prefillLogits, b.prefillLogits) < 1e-4)
      }
      whole = expected
    }
  }

  @Test func faultsNameTheTensor() throws {
    let norm = "model.layers.1.input_layernorm.weight"
    #expect(
      try failure("missing") { $0.tensors[norm] = nil }
        == "the checkpoint has no tensor '\(norm)'")
    #expect(
      try failure("surplus") { $0.tensors["model.extra.weight"] = ([2], [1, 2]) }
        .hasPrefix("the model does not read tensor 'model.extra.weight'; name it under"))
    // A tied head that is stored as well is the token table, or is refused.
    let table = "model.embed_tokens.weight"
    #expect(try failure("copy") { $0.tensors["tied.weight"] = $0.tensors[table] } == "")
    #expect(
      try failure("no copy") {
        $0.tensors["tied.weight"] = $0.tensors[table]
        $0.tensors["tied.weight"]?.values[7] += 1
      }.hasPrefix("the model does not read tensor 'tied.weight'"))
    // One without elements, as transformers saves shared experts that are none, is passed over.
    #expect(
      try failure("surplus of nothing") { $0.tensors["model.none.weight"] = ([0, 2], []) } == "")
    #expect(
      try failure("shape") { $0.tensors[norm] = ([23], numbers(23)) }
        .contains("tensor '\(norm)'"))
    #expect(
      try failure("nan") { $0.tensors[norm]?.values[5] = .nan }
        == "tensor '\(norm)' holds a NaN or an infinity")
    #expect(
      try failure("infinity") { $0.tensors[norm]?.values[5] = .infinity }
        == "tensor '\(norm)' holds a NaN or an infinity")
    let indices = try #require(
      CheckpointFile(for: try plan(), name: "x").tables.keys.sorted().first)
    #expect(
      try failure("table") { $0.tables[indices]?.values[3] = 8 }
        == "tensor '\(indices)': entry 3 is 8 of 8 experts")
    let expert = try #require(
      CheckpointFile(for: try plan(), name: "x").tensors.keys.sorted()
        .first { $0.contains("experts.7.") })
    #expect(
      try failure("expert") { $0.tensors[expert] = nil }
        .contains("'\(expert)'"))
  }

  @Test func ignoredTensorsMayBeThere() throws {
    var plan = try plan()
    var file = CheckpointFile(for: plan, name: "ignored")
    file.tensors["model.layers.3.rotary.inv_freq"] = ([2], [1, 2])
    file.tensors["vision.tower.0.weight"] = ([2], [1, 2])
    let checkpoint = try file.open()
    plan.model.ignoredTensors = ["vision.*", "model.layers.{layer}.rotary.inv_freq"]
    #expect(throws: Never.self) { try WeightStore(.checkpoint(checkpoint), for: plan) }
    plan.model.ignoredTensors = ["vision.*", "model.layers.{layer}.rotary"]
    #expect(throws: WeightError.self) { try WeightStore(.checkpoint(checkpoint), for: plan) }
  }

  @Test func ranksShareWhatIsAlikeAndHoldExpertsOnce() throws {
    func bytes(_ mesh: Mesh) throws -> Int {
      let plan = try plan(mesh, 1)
      let store = try WeightStore(.synthetic(seed: 1), for: plan)
      _ = try PlanSession(plan, weights: store, device: CPUDevice())
      return store.bytes
    }
    let whole = try bytes(Mesh())
    #expect(try bytes(Mesh(dp: 4, ep: 4)) == whole)
    #expect(try bytes(Mesh(dp: 8, ep: 4)) == whole)
    #expect(try bytes(Mesh(pp: 2)) == whole)
  }

  @Test func syntheticWeightsDependOnTheSeed() throws {
    let plan = try plan()
    func tokens(_ seed: UInt64) throws -> [[Int32]] {
      let session = try PlanSession(
        plan, weights: try WeightStore(.synthetic(seed: seed), for: plan), device: CPUDevice())
      let result = try session.generate(
        GenerationRequest(prompts: SmallModels.prompts(3), count: 8, kept: [.logits]))
      #expect(result.prompts.allSatisfy { $0.prefillLogits.allSatisfy { abs($0) < 100 } })
      return result.prompts.map(\.tokens)
    }
    #expect(try tokens(1) == tokens(1))
    #expect(try tokens(1) != tokens(2))
  }

  @Test func sourcesAreReadFromText() throws {
    guard case .synthetic(let seed) = try WeightSource(parsing: "synthetic:42") else {
      Issue.record("not synthetic")
      return
    }
    #expect(seed == 42)
    #expect(throws: WeightError.self) { try WeightSource(parsing: "/nowhere") }
  }

  @Test func outputsAreWrittenAsReferencesAre() throws {
    let session = try SmallModels.session(SmallModels.program(1), Mesh(dp: 2, ep: 2))
    let result = try session.generate(
      GenerationRequest(
        prompts: [[1, 2, 3]], count: 4, kept: [.logits, .routing, .hidden, .drafts]))
    let path = "/tmp/epc-output-\(getpid()).safetensors"
    try result.write(to: path)
    defer { unsafe _ = unlink(path) }
    let file = try Checkpoint.open(path)
    #expect(file.tensors["p0.prefill_logits"]?.shape == [3, 48])
    #expect(file.tensors["p0.decode_logits"]?.shape == [4, 48])
    #expect(file.tensors["p0.decode_tokens"]?.type == .int64)
    #expect(file.tensors["p0.layer1.topk_idx"]?.shape == [3, 3])
    #expect(file.tensors["p0.decode.layer1.topk_w"]?.shape == [3, 3])
    #expect(file.tensors["p0.layer3.hidden"]?.shape == [3, 24])
    #expect(file.tensors["p0.final_norm"]?.shape == [3, 24])
    #expect(file.tensors["p0.mtp.logits"]?.shape == [6, 48])
    #expect(try file.integers("p0.input_ids") == [1, 2, 3])
  }
}
