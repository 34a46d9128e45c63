import EPCompiler
import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// How long a plan of the shape of Kimi K2 on 320 ranks takes; `EPC_BENCHMARK=1` prints it.
@Suite(.enabled(if: testCount("EPC_BENCHMARK", default: 0) == 1)) struct SpeedTests {
  @Test func readingAndVerifying() throws {
    var attention: MultiHeadLatentAttention {
      .init(
        heads: 64, queryRank: 1536, keyValueRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128,
        rope: .init(theta: 50000, layout: .interleaved))
    }
    let model = Model("K2", vocabulary: 163_840, hidden: 7168, precision: .fp8) {
      Embedding()
      Layers(0..<1) {
        Block {
          attention
        } feedForward: {
          SwiGLU(18432)
        }
      }
      Layers(1..<61) {
        Block {
          attention
        } feedForward: {
          MixtureOfExperts {
            Router(.sigmoid, topK: 8, correctionBias: true, normalized: true, scale: 2.827)
            SharedExperts(1) { SwiGLU(2048) }
            RoutedExperts(384) { SwiGLU(2048) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
    }
    let program = model.traced().program
    let request = try SamplePlans.request([(.decode, Mesh(dp: 320, ep: 320))])
    let clock = ContinuousClock()
    var plan: Plan?
    func best(_ name: String, _ body: () throws -> Void) rethrows {
      var least = Duration.seconds(9)
      for _ in 0..<5 { least = min(least, try clock.measure(body)) }
      print("\(name): \(least)")
    }
    try best("compile") { plan = try Compiler.compile(Compilation(program, request)) }
    guard let plan else { return }
    let bytes = try plan.serialized()
    print("plan: \(bytes.count) bytes")
    try best("read and verify") { _ = try Plan(bytes: bytes) }
    best("verify") { _ = plan.verify() }
    best("instantiate a rank") { _ = plan.instantiate(rank: 319, of: 0) }
  }
}
