import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// Readers against damaged documents: they refuse or read, and never trap or take long.
///
/// `EPC_FUZZ_ITERATIONS` sets how many documents each reader is given, `EPC_FUZZ_SEED` which.
@Suite struct ReaderFuzzTests {
  private static let iterations = testCount("EPC_FUZZ_ITERATIONS", default: 600)
  private static let seed = UInt64(testCount("EPC_FUZZ_SEED", default: 1))

  /// A model that is small, so that many of its documents can be tried.
  private static let micro: ModelProgram = Model("Micro", vocabulary: 16, hidden: 8) {
    Embedding()
    Layers(0..<2) {
      Block {
        MultiHeadAttention(
          heads: 2, headSize: 4, rope: RotaryEmbedding(theta: 1e4), bias: .all, sinks: true)
      } feedForward: {
        MixtureOfExperts {
          Router(.softmax, topK: 2)
          RoutedExperts(4, identity: 2) { SwiGLU(8) }
        }
      }
    }
    RMSNorm()
    LanguageModelHead()
  }.traced().program

  @Test func planReader() throws {
    var documents = [
      try SamplePlans.plan(Self.micro, [(.unified, Mesh(dp: 2, ep: 2))]),
      try SamplePlans.plan(Self.micro, [(.decode, Mesh(dp: 1, tp: 2, ep: 1))]),
      try SamplePlans.plan(Self.micro, [(.prefill, Mesh()), (.decode, Mesh(dp: 4, ep: 4))]),
    ].map(\.document.jsonValue)
    documents.append(try SamplePlans.all()[5].plan.document.jsonValue)
    try fuzz(documents, seed: 1) { bytes in
      guard let plan = try? Plan(bytes: bytes) else { return }
      let rank = plan.pools[0].mesh.ranks - 1
      #expect(plan.instantiate(rank: rank, of: 0).rank == rank)
      let again = try Plan(bytes: try plan.serialized())
      #expect(again == plan)
    }
  }

  @Test func modelReader() throws {
    let documents = try ([Self.micro] + SampleModels.all.prefix(1).map(\.program)).map {
      try JSONValue.parse(bytes: Array($0.document.json.utf8))
    }
    try fuzz(documents, seed: 2) { bytes in
      guard let value = try? JSONValue.parse(bytes: bytes),
        let program = try? ModelProgram(json: JSONNode(value))
      else { return }
      #expect(program.parameterCount.total >= 0)
      #expect(!ModelSummary(of: program).weightDigest.isEmpty)
      let request = try SamplePlans.request([(.unified, Mesh(dp: 2, tp: 2, ep: 2))])
      try expectPlanOrDiagnosis(program, request)
    }
  }

  @Test func clusterReader() throws {
    let text = """
      {"name": "mine", "hardware": {"name": "test", "label": "Test", "devices_per_node": 8,
       "memory_gb": 141, "memory_tb_per_s": 4.8, "peak_tflops": {"bf16": 989},
       "scale_up_gb_per_s": 450, "scale_out_gb_per_s": 50, "source": "test"},
       "nodes": 4, "devices_per_node": 8, "memory_gb": 80, "usable_fraction": 0.9,
       "scale_up_gb_per_s": 400, "scale_out_gb_per_s": 25}
      """
    let document = try JSONValue.parse(bytes: Array(text.utf8))
    try fuzz([document], seed: 3) { bytes in
      guard let value = try? JSONValue.parse(bytes: bytes) else { return }
      let catalog = HardwareCatalog(folders: [])
      guard let cluster = try? Cluster(json: JSONNode(value), catalog: catalog) else { return }
      #expect(cluster.devices > 0)
    }
  }

  @Test func functionParser() throws {
    var random = SeededGenerator(seed: Self.seed &* 4)
    let plan = try SamplePlans.plan(Self.micro, [(.unified, Mesh(dp: 2, tp: 2, ep: 2))])
    let texts =
      (Self.micro.functions + SampleModels.linearHybrid.functions.prefix(2)).map { $0.text() }
      + plan.pools[0].functions.map(\.text)
    let clock = ContinuousClock()
    for _ in 0..<Self.iterations {
      let text = random.pick(texts)
      let bytes = random.damaged(Array(text.utf8))
      let start = clock.now
      if let function = try? Function(parsing: String(decoding: bytes, as: UTF8.self)) {
        _ = try? function.verify()
        _ = function.text()
      }
      #expect(clock.now - start < .seconds(2))
    }
  }

  private func expectPlanOrDiagnosis(
    _ program: ModelProgram, _ request: CompileRequest
  ) throws {
    do {
      let plan = try Compiler.compile(Compilation(program, request))
      #expect(plan.verify().isEmpty)
    } catch { #expect(!error.all.contains { $0.id == "compiler-bug" }, "\(error)") }
  }

  private func fuzz(
    _ documents: [JSONValue], seed: UInt64, _ read: ([UInt8]) throws -> Void
  ) throws {
    var random = SeededGenerator(seed: Self.seed &* 1000 &+ seed)
    let texts = try documents.map { try $0.serialized() }
    let places = documents.map { document in
      var places: [[JSONStep]] = []
      document.visit { steps, _ in places.append(steps) }
      return places
    }
    let clock = ContinuousClock()
    for _ in 0..<Self.iterations {
      let index = random.below(documents.count)
      var bytes = texts[index]
      if random.once(in: 3) {
        bytes = random.damaged(bytes)
      } else {
        var document = documents[index]
        for _ in 0...random.below(3) {
          document = document.mutated(at: random.pick(places[index]), &random) ?? document
        }
        guard let text = try? document.serialized() else { continue }
        bytes = text
      }
      let start = clock.now
      try read(bytes)
      let took = clock.now - start
      if took > .seconds(2) { Issue.record("\(took): \(String(decoding: bytes, as: UTF8.self))") }
    }
  }
}
