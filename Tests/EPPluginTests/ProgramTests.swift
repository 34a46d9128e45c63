import EPBackend
import EPBackendCPU
import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPPlugin
import EPRuntime
import EPTestSupport
import Testing

/// Backends that run whole programs: the one of version 1.1, which has no kernels.
@Suite struct ProgramTests {
  /// A model of the few operations that the backend knows.
  static var model: Model {
    Model("small", vocabulary: 32, hidden: 16, precision: .fp32) {
      Embedding()
      Layers(0..<3) {
        Block {
        } feedForward: {
          MixtureOfExperts {
            Router(.softmax, topK: 2, normalized: true)
            RoutedExperts(8) { SwiGLU(12) }
          }
        }
      }
      RMSNorm()
      LanguageModelHead()
    }
  }

  private static func plan(
    _ mesh: Mesh, _ overlap: CompileRequest.Overlap
  ) throws -> Plan {
    var request = try SamplePlans.request([(.unified, mesh)])
    request.overlap = overlap
    request.activations = .fp32
    return try Compiler.compile(Compilation(model.traced().program, request))
  }

  private static func run<D: Device>(_ plan: Plan, _ device: D) throws -> GenerationResult {
    try PlanSession(
      plan, weights: try WeightStore(.synthetic(seed: 3), for: plan), device: device
    ).generate(
      GenerationRequest(
        prompts: [[3, 14, 15, 9, 26, 5, 8], [27, 18, 28], [1, 6]], count: 4, kept: .logits))
  }

  private static func device(mistake: Int = 0) throws -> PluginDevice {
    let library = try Libraries.program(mistake: mistake)
    return try Libraries.device(Result { library })
  }

  @Test(arguments: [
    (Mesh(), CompileRequest.Overlap.none), (Mesh(dp: 4, ep: 4), .none),
    (Mesh(dp: 2, tp: 2, ep: 4), .microBatches(1)), (Mesh(dp: 2, tp: 2, ep: 4), .microBatches(2)),
    (Mesh(pp: 2, dp: 2, ep: 2), .microBatches(3)),
  ])
  func aBackendOfVersion11GoesOnRunningPrograms(
    mesh: Mesh, overlap: CompileRequest.Overlap
  ) throws {
    let plan = try ProgramTests.plan(mesh, overlap)
    let wanted = try ProgramTests.run(plan, ReferenceDevice())
    let made = try ProgramTests.run(plan, try ProgramTests.device())
    for (own, other) in zip(made.prompts, wanted.prompts) {
      #expect(own.tokens == other.tokens)
      for (a, b) in zip(own.prefillLogits, other.prefillLogits) {
        #expect(abs(a - b) <= 1e-5 * max(1, abs(b)))
      }
    }
    // What executors count does not depend on who runs the program.
    #expect(made.statistics.traffic == wanted.statistics.traffic)
  }

  /// What a backend may get wrong, as the fixture numbers it, and what the error says.
  static let mistakes: [(Int, String)] = [
    (1, "waits for operation 3 'dispatch', which has not ended"),
    (2, "call 0 has not been entered"),
    (3, "run_step: it returned, and"),
    (4, "'reduce_scatter' is an exchange: start and finish it"),
    (5, "'embed' is no exchange"),
    (6, "it has been started already"),
    (7, "it has not been started"),
    (8, "there is no micro-batch 77"),
    (9, "'embed' has no operation 18446744073709551615"),
    (10, "the issue is NULL"),
    (11, "and the plan's devices have 12"),
    (12, "cannot run 'a whole program': too many experts"),
    (13, "run_step: the coil is cold"),
  ]

  @Test(arguments: mistakes)
  func aMistakeIsNoticed(mistake: Int, says: String) throws {
    let device = try ProgramTests.device(mistake: mistake)
    let plan = try ProgramTests.plan(Mesh(dp: 2, tp: 2, ep: 4), .microBatches(2))
    let error = #expect(throws: ExecutionError.self) { try ProgramTests.run(plan, device) }
    #expect(error?.description.contains(says) == true, "\(String(describing: error))")
  }

  @Test func withoutKernelsThereIsNothingToFallBackTo() throws {
    let device = try ProgramTests.device()
    #expect(device.runsPrograms && device.withKernels == nil)
    let template = try Libraries.device(Libraries.template)
    #expect(template.runsPrograms && template.withKernels?.runsPrograms == false)
    #expect(try !Libraries.device(Libraries.frozen).runsPrograms)
  }
}
