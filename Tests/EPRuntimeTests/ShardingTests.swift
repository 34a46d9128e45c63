import EPBackendCPU
import EPIR
import EPModel
import EPReference
import EPRuntime
import Testing

/// Sharded plans compute what the unsharded plan computes.
@Suite struct ShardingTests {
  static let meshes = [
    Mesh(dp: 2, ep: 2), Mesh(dp: 8, ep: 8), Mesh(dp: 4, ep: 2), Mesh(tp: 2, ep: 2),
    Mesh(tp: 4, ep: 1), Mesh(dp: 2, tp: 2, ep: 4), Mesh(dp: 4, tp: 2, ep: 8),
    Mesh(dp: 2, tp: 2, ep: 1), Mesh(dp: 3, ep: 3), Mesh(pp: 2, dp: 2, ep: 2),
    Mesh(pp: 4, tp: 2, ep: 2), Mesh(pp: 2, dp: 2, tp: 4, ep: 2),
  ]

  /// Logits of tensor-parallel and unsharded plans differ by at most so much, twice the most seen with
  /// EPC_EXHAUSTIVE (2.2e-5); the models' logits are of the order of 1. Without tensor parallelism they
  /// are equal.
  static let bound: Float = 4e-5

  /// EPC_EXHAUSTIVE runs more models on more meshes.
  static let isExhaustive = environment("EPC_EXHAUSTIVE") != nil

  @Test(arguments: 0..<(isExhaustive ? 176 : 22))
  func shardedEqualsUnsharded(number: Int) throws {
    let program = SmallModels.program(number)
    var request = GenerationRequest(
      prompts: SmallModels.prompts(number), count: 3, kept: [.logits, .routing])
    var random = SmallGenerator(number)
    request.modalities = request.prompts.map { prompt in
      prompt.map { _ in Int32.random(in: 0...2, using: &random) }
    }
    let whole = try SmallModels.session(program, Mesh()).generate(request)
    #expect(whole.prompts.allSatisfy { $0.tokens.count == 3 })
    for index in 0..<(ShardingTests.isExhaustive ? 6 : 3) {
      let mesh = ShardingTests.meshes[(number + index * 3) % ShardingTests.meshes.count]
      let session: PlanSession<CPUDevice>
      do { session = try SmallModels.session(program, mesh) } catch let error as ReferenceError {
        // Sizes that do not come out even are refused with a size that does.
        #expect(error.description.contains("take '--tp"), "\(program.name) on \(mesh): \(error)")
        continue
      }
      let result = try session.generate(request)
      for (a, b) in zip(whole.prompts, result.prompts) {
        #expect(a.tokens == b.tokens, "\(mesh)")
        #expect(a.routes.mapValues(\.experts) == b.routes.mapValues(\.experts), "\(mesh)")
        #expect(
          a.decodeRoutes.mapValues(\.experts) == b.decodeRoutes.mapValues(\.experts), "\(mesh)")
        let bound = mesh.tp == 1 ? 0 : ShardingTests.bound
        #expect(difference(a.prefillLogits, b.prefillLogits) <= bound, "\(mesh)")
        #expect(difference(a.decodeLogits, b.decodeLogits) <= bound, "\(mesh)")
      }
    }
  }
}
