import EPBackendCPU
import EPCheckpoint
import EPIR
import EPReference
import EPRuntime
import Testing

/// Experts that are read when they are needed make what experts that are held make.
@Suite struct StreamingTests {
  private func run(
    _ program: Int, _ mesh: Mesh, streams: Bool, share: Double = 1
  ) throws -> (GenerationResult, ExpertCache?) {
    let program = SmallModels.program(program, drafts: 0)
    let plan = try ReferenceCase.plan(of: program, mesh: mesh, tokens: 40)
    let device = CPUDevice()
    func session(_ memory: Int?) throws -> (PlanSession<CPUDevice>, WeightStore) {
      let store = try WeightStore(.synthetic(seed: 7), for: plan, streamsExperts: streams)
      return (
        try PlanSession(plan, weights: store, device: device, memory: memory), store
      )
    }
    let (free, store) = try session(nil)
    let request = GenerationRequest(
      prompts: SmallModels.prompts(3), count: 6, kept: [.logits])
    guard streams, let cache = store.cache else { return (try free.generate(request), nil) }
    // What everything but experts takes is what is missing when there is nothing at all.
    var needed = 0
    do { _ = try session(0) } catch ExecutionError.request(let text) {
      needed = text.split(separator: " ").last.flatMap { Int($0) } ?? 0
    }
    let memory = needed + Int(share * Double(cache.total))
    let (bound, boundStore) = try session(memory)
    return (try bound.generate(request), boundStore.cache)
  }

  @Test(arguments: [1, 2, 14], [0.0, 0.3, 1.0])
  func streamedEqualsHeld(program: Int, share: Double) throws {
    for mesh in [Mesh(), Mesh(dp: 2, ep: 2)] {
      let (held, _) = try run(program, mesh, streams: false)
      let (streamed, cache) = try run(program, mesh, streams: true, share: share)
      #expect(streamed.prompts.map(\.tokens) == held.prompts.map(\.tokens))
      for (a, b) in zip(streamed.prompts, held.prompts) {
        #expect(a.decodeLogits == b.decodeLogits && a.prefillLogits == b.prefillLogits)
      }
      let known = try #require(cache)
      #expect(known.peak <= known.budget && known.total > 0)
      let statistics = try #require(streamed.statistics.experts)
      #expect(statistics.misses > 0)
      if share == 1 {
        // Everything fits: each matrix is read at most once, and the rest are hits.
        #expect(statistics.bytes <= known.total && statistics.hits > statistics.misses)
      } else if share == 0 {
        // One matrix at a time fits: almost nothing can be found again.
        #expect(statistics.misses > statistics.hits && known.peak == known.least)
      }
    }
  }

  @Test func expertsOfACheckpointAreReadOnDemand() throws {
    for reference in ReferenceCase.all(below: fixtures) {
      let plan = try ReferenceCase.plan(of: try reference.program(), mesh: Mesh())
      func generate(_ streams: Bool) throws -> GenerationResult {
        let store = try WeightStore(
          .checkpoint(try Checkpoint.open(reference.folder)), for: plan, streamsExperts: streams)
        return try PlanSession(plan, weights: store, device: CPUDevice(), memory: 1 << 30)
          .generate(GenerationRequest(prompts: [[1, 2, 3, 4]], count: 5, kept: [.logits]))
      }
      let (held, streamed) = (try generate(false), try generate(true))
      #expect(held.prompts[0].decodeLogits == streamed.prompts[0].decodeLogits)
      #expect((streamed.statistics.experts?.misses ?? 0) > 0)
      #expect(streamed.statistics.weightBytes < held.statistics.weightBytes)
    }
  }
}
