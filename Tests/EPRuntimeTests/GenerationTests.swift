import EPBackendCPU
import EPIR
import EPModel
import EPPlan
import EPReference
import EPRuntime
import Testing

/// Tokens and logits do not depend on how sequences are cut and batched.
@Suite struct GenerationTests {
  /// One model of each kind of attention, MTP left out where its number has none.
  static let models = [0, 2, 4, 5, 6, 8, 9]

  /// Whether a model's routing looks at a step as a whole, as capacities do by definition.
  static func hasCapacity(_ program: ModelProgram) -> Bool {
    program.functions.contains { function in
      function.operations.contains { $0.attributes["capacity_factor"] != nil }
    }
  }

  @Test(arguments: models)
  func decodingThroughTheCacheEqualsPrefill(number: Int) throws {
    let program = SmallModels.program(number, drafts: 0)
    if GenerationTests.hasCapacity(program) { return }
    let session = try SmallModels.session(program, Mesh(dp: 2, ep: 2))
    let prompts = SmallModels.prompts(number)
    let made = try session.generate(
      GenerationRequest(prompts: prompts, count: 6, kept: [.logits]))
    // Reading all that was made as a prompt gives the logits it was made from.
    let again = try session.generate(
      GenerationRequest(
        prompts: zip(prompts, made.prompts).map { $0 + $1.tokens.dropLast() }, count: 0,
        kept: [.logits]))
    for (prompt, (a, b)) in zip(prompts, zip(made.prompts, again.prompts)) {
      let start = (prompt.count - 1) * SmallModels.vocabulary
      #expect(Array(b.prefillLogits[start...]) == a.decodeLogits)
      #expect(b.tokens.isEmpty)
    }
  }

  @Test(arguments: models, [1, 3])
  func chunkedPrefillEqualsWhole(number: Int, chunk: Int) throws {
    let program = SmallModels.program(number, drafts: 0)
    if GenerationTests.hasCapacity(program) { return }
    let session = try SmallModels.session(program, Mesh(dp: 2, ep: 2))
    var request = GenerationRequest(
      prompts: SmallModels.prompts(number), count: 3, kept: [.logits, .routing, .hidden])
    let whole = try session.generate(request)
    request.chunk = chunk
    let chunked = try session.generate(request)
    #expect(chunked.statistics.steps > whole.statistics.steps)
    for (a, b) in zip(whole.prompts, chunked.prompts) {
      #expect(a.tokens == b.tokens && a.prefillLogits == b.prefillLogits)
      #expect(a.decodeLogits == b.decodeLogits && a.routes == b.routes && a.hidden == b.hidden)
    }
  }

  @Test(arguments: models)
  func continuousBatchingEqualsAlone(number: Int) throws {
    let program = SmallModels.program(number, drafts: 0)
    if GenerationTests.hasCapacity(program) { return }
    let session = try SmallModels.session(program, Mesh(dp: 2, ep: 2), tokens: 9)
    let prompts = SmallModels.prompts(number, count: 7).map { Array($0.prefix(8)) }
    var request = GenerationRequest(prompts: prompts, count: 5, kept: [.logits])
    // They join one after the other, and leave at different times.
    request.arrivals = [0, 0, 1, 2, 4, 4, 9]
    let together = try session.generate(request)
    for (index, prompt) in prompts.enumerated() {
      let alone = try session.generate(
        GenerationRequest(prompts: [prompt], count: 5, kept: [.logits]))
      #expect(alone.prompts[0].tokens == together.prompts[index].tokens)
      #expect(alone.prompts[0].decodeLogits == together.prompts[index].decodeLogits)
    }
  }

  @Test(arguments: [1, 4, 6, 8, 9], [1, 4])
  func speculativeEqualsGreedy(number: Int, count: Int) throws {
    let program = SmallModels.program(number, drafts: 1 + number % 2)
    for mesh in [Mesh(), Mesh(dp: 2, tp: 2, ep: 4)] {
      let session: PlanSession<CPUDevice>
      do { session = try SmallModels.session(program, mesh) } catch is ReferenceError { continue }
      var request = GenerationRequest(
        prompts: SmallModels.prompts(number), count: 12, kept: [.logits])
      if GenerationTests.hasCapacity(program) { continue }
      let plain = try session.generate(request)
      request.speculate = count
      let speculative = try session.generate(request)
      for (a, b) in zip(plain.prompts, speculative.prompts) {
        #expect(a.tokens == b.tokens && a.decodeLogits == b.decodeLogits)
      }
      #expect(speculative.statistics.drafted > 0)
      #expect(speculative.statistics.acceptanceRate != nil)
      #expect(plain.statistics.acceptanceRate == nil)
    }
  }

  @Test func speculationWithSamplingEqualsSampling() throws {
    let session = try SmallModels.session(SmallModels.program(4, drafts: 1), Mesh(dp: 2, ep: 2))
    var request = GenerationRequest(
      prompts: SmallModels.prompts(4), count: 12,
      sampling: Sampling(temperature: 0.8, topK: 20, topP: 0.9, seed: 5))
    let plain = try session.generate(request)
    request.speculate = 3
    #expect(try session.generate(request).prompts.map(\.tokens) == plain.prompts.map(\.tokens))
  }

  @Test(arguments: models)
  func handOverBetweenMeshesChangesNothing(number: Int) throws {
    let program = SmallModels.program(number, drafts: number % 2)
    var request = GenerationRequest(
      prompts: SmallModels.prompts(number), count: 6, kept: [.logits])
    request.speculate = number % 2
    let unified = try SmallModels.session(program, Mesh(dp: 2, ep: 2)).generate(request)
    for (prefill, decode) in [
      (Mesh(tp: 2, ep: 2), Mesh(dp: 2, ep: 2)), (Mesh(dp: 2), Mesh(pp: 2, dp: 2, tp: 2, ep: 4)),
    ] {
      let plan = try disaggregatedPlan(of: program, prefill: prefill, decode: decode)
      let session = try PlanSession(
        plan, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice())
      let result = try session.generate(request)
      for (a, b) in zip(unified.prompts, result.prompts) {
        #expect(a.tokens == b.tokens)
        #expect(difference(a.decodeLogits, b.decodeLogits) <= 1e-4)
      }
      let handover = try #require(plan.handover)
      #expect(
        result.statistics.handoverBytes
          == request.prompts.reduce(0) { $0 + handover.bytes(context: $1.count) })
    }
  }

  @Test func fewSamplesAStepTakeMoreSteps() throws {
    let program = SmallModels.program(4, drafts: 1)
    let plan = try ReferenceCase.plan(of: program, mesh: Mesh(dp: 2, ep: 2), tokens: 40, samples: 2)
    let weights = try WeightStore(.synthetic(seed: 7), for: plan)
    let session = try PlanSession(plan, weights: weights, device: CPUDevice())
    let free = try SmallModels.session(program, Mesh(dp: 2, ep: 2))
    var request = GenerationRequest(
      prompts: SmallModels.prompts(4, count: 7), count: 5, kept: [.logits, .drafts])
    for kept: GenerationRequest.Kept in [[.logits, .drafts], []] {
      for speculate in [0, 3] {
        request.kept = kept
        request.speculate = speculate
        let (a, b) = (try free.generate(request), try session.generate(request))
        #expect(a.prompts.map(\.tokens) == b.prompts.map(\.tokens))
        #expect(a.prompts.map(\.prefillLogits) == b.prompts.map(\.prefillLogits))
        #expect(a.prompts.map(\.decodeLogits) == b.prompts.map(\.decodeLogits))
        #expect(a.prompts.map(\.draftLogits) == b.prompts.map(\.draftLogits))
        #expect(a.statistics.steps < b.statistics.steps)
      }
    }
  }

  @Test func moreSequencesThanThereIsRoomForWait() throws {
    let program = SmallModels.program(1, drafts: 1)
    var request = GenerationRequest(
      prompts: SmallModels.prompts(2, count: 21), count: 4, speculate: 2)
    request.chunk = 5
    let plan = try disaggregatedPlan(of: program, prefill: Mesh(), decode: Mesh())
    #expect(plan.pools.allSatisfy { $0.load.sequences < 21 })
    let weights = try WeightStore(.synthetic(seed: 7), for: plan)
    let result = try PlanSession(plan, weights: weights, device: CPUDevice()).generate(request)
    let unified = try SmallModels.session(program, Mesh(), tokens: 200).generate(
      GenerationRequest(prompts: request.prompts, count: 4))
    #expect(result.prompts.map(\.tokens) == unified.prompts.map(\.tokens))
  }

  @Test func stopTokensEndASequence() throws {
    let session = try SmallModels.session(SmallModels.program(0), Mesh())
    var request = GenerationRequest(prompts: SmallModels.prompts(0), count: 8)
    let free = try session.generate(request)
    let stop = free.prompts[0].tokens[3]
    request.stops = [stop]
    let stopped = try session.generate(request)
    for (a, b) in zip(free.prompts, stopped.prompts) {
      let end = a.tokens.firstIndex(of: stop).map { $0 + 1 } ?? a.tokens.count
      #expect(b.tokens == Array(a.tokens[..<end]))
    }
  }

  @Test func requestsThatCannotBeServedSayWhy() throws {
    let session = try SmallModels.session(SmallModels.program(0), Mesh())
    func failure(_ change: (inout GenerationRequest) -> Void) -> String {
      var request = GenerationRequest(prompts: [[1, 2]], count: 1)
      change(&request)
      do {
        _ = try session.generate(request)
        return ""
      } catch { return error.description }
    }
    #expect(failure { $0.prompts = [[]] } == "prompt 0 has no tokens")
    #expect(
      failure { $0.prompts = [[1, 48]] } == "token 48 of prompt 0 is not in the vocabulary of 48")
    #expect(failure { $0.speculate = 2 }.contains("the plan runs no MTP depths"))
    #expect(failure { $0.speculate = -1 } == "'--speculate -1'; it is not negative")
    #expect(failure { $0.kept = [.drafts] }.contains("the plan runs no MTP depths"))
    #expect(failure { $0.chunk = 0 }.contains("a chunk of 0 tokens"))
    #expect(failure { $0.count = -1 }.contains("'--generate -1'"))
    #expect(failure { $0.modalities = [[0]] }.contains("modalities"))
  }

  @Test func tooManyRoutedRowsNameTheRankAndTheFix() throws {
    var plan = try ReferenceCase.plan(of: SmallModels.program(0), mesh: Mesh(dp: 2, ep: 2))
    for index in plan.pools[0].functions.indices {
      plan.pools[0].functions[index].routedCapacity = 5
    }
    let session = try PlanSession(
      plan, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice())
    let error = #expect(throws: ExecutionError.self) {
      try session.generate(GenerationRequest(prompts: [Array(0..<12), Array(0..<12)], count: 1))
    }
    let text = try #require(error).description
    #expect(text.hasPrefix("rank ") && text.contains("in layer 0 and the plan has room for 5"))
    #expect(text.contains("--capacity-factor"))
  }
}

@Suite struct SamplingTests {
  let logits: [Float] = [0.1, 2, -1, 2, 1.5, 0]

  @Test func greedyTakesTheFirstOfTheLargest() {
    #expect(Sampling.greedy.token(from: logits[...], prompt: 0, position: 0) == 1)
    #expect(Sampling(temperature: 3, topK: 1).token(from: logits[...], prompt: 3, position: 9) == 1)
  }

  @Test func drawsFollowTheSoftmax() {
    let sampling = Sampling(temperature: 0.7, seed: 11)
    var counts = Array(repeating: 0.0, count: logits.count)
    for position in 0..<20_000 {
      counts[Int(sampling.token(from: logits[...], prompt: 1, position: position))] += 1
    }
    let weights = logits.map { Double($0) / 0.7 }.map { pow2($0) }
    for (count, weight) in zip(counts, weights) {
      #expect(abs(count / 20_000 - weight / weights.reduce(0, +)) < 0.015)
    }
  }

  private func pow2(_ x: Double) -> Double {
    // e^x by its series after halving, so that the test needs no library.
    let half = x / 64
    var term = 1.0
    var sum = 1.0
    for index in 1..<20 {
      term *= half / Double(index)
      sum += term
    }
    return (0..<6).reduce(sum) { value, _ in value * value }
  }

  @Test func topKAndTopPLeaveOutTheRest() {
    let topK = Sampling(temperature: 5, topK: 3, seed: 1)
    let topP = Sampling(temperature: 1, topP: 0.5, seed: 1)
    for position in 0..<500 {
      #expect([1, 3, 4].contains(topK.token(from: logits[...], prompt: 0, position: position)))
      #expect([1, 3].contains(topP.token(from: logits[...], prompt: 0, position: position)))
    }
  }

  @Test func theSameSeedDrawsTheSameAndAnotherDoesNot() {
    func draws(_ seed: UInt64) -> [Int32] {
      (0..<64).map {
        Sampling(temperature: 1, seed: seed).token(from: logits[...], prompt: 2, position: $0)
      }
    }
    #expect(draws(4) == draws(4))
    #expect(draws(4) != draws(5))
  }
}
