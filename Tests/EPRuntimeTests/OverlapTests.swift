import EPBackend
import EPBackendCPU
import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPReference
import Testing

@testable import EPRuntime

/// Plans whose steps are cut into micro-batches compute what whole steps do.
@Suite struct OverlapTests {
  static let meshes = [
    Mesh(dp: 2, ep: 2), Mesh(dp: 4, ep: 2), Mesh(tp: 2, ep: 2), Mesh(dp: 2, tp: 2, ep: 4),
    Mesh(pp: 2, dp: 2, ep: 2), Mesh(dp: 3, ep: 3),
  ]

  @Test(arguments: 0..<(ShardingTests.isExhaustive ? 96 : 14))
  func microBatchesChangeNothing(number: Int) throws {
    let program = SmallModels.program(number)
    if GenerationTests.hasCapacity(program) { return }
    var request = GenerationRequest(
      prompts: SmallModels.prompts(number, count: 5), count: 4,
      kept: [.logits, .routing, .hidden])
    request.speculate = program.drafts.count
    let mesh = OverlapTests.meshes[number % OverlapTests.meshes.count]
    for (index, mesh) in [mesh, Mesh()].enumerated() {
      let whole: PlanSession<CPUDevice>
      do { whole = try SmallModels.session(program, mesh) } catch is ReferenceError { continue }
      let overlapped = try SmallModels.session(
        program, mesh, overlap: .microBatches(1 + (number + index + 1) % 3))
      let expected = try whole.generate(request)
      let made = try overlapped.generate(request)
      #expect(made.statistics.accepted == expected.statistics.accepted)
      for (a, b) in zip(expected.prompts, made.prompts) {
        #expect(a.tokens == b.tokens, "\(mesh)")
        #expect(a.routes == b.routes && a.decodeRoutes == b.decodeRoutes, "\(mesh)")
        // Ranks' own rows fall elsewhere in halves of a step: tensor-parallel sums are of the same
        // terms in the same order all the same.
        #expect(a.prefillLogits == b.prefillLogits && a.decodeLogits == b.decodeLogits, "\(mesh)")
        #expect(a.hidden == b.hidden, "\(mesh)")
      }
    }
  }

  /// Lots of a pipeline, alone and cut into micro-batches, make the very numbers of whole steps.
  @Test(arguments: [2, 3, 4], [1, 2])
  func lotsOfPipelinesChangeNothing(stages: Int, microBatches: Int) throws {
    let number = 4 + stages
    let program = SmallModels.program(number, drafts: 1)
    let layers = program.layerCount
    if GenerationTests.hasCapacity(program) || layers < stages { return }
    var request = GenerationRequest(
      prompts: SmallModels.prompts(number, count: 5), count: 4,
      kept: [.logits, .routing, .hidden])
    request.speculate = program.drafts.count
    let whole = try SmallModels.session(program, Mesh(dp: 2, ep: 2)).generate(request)
    let session = try SmallModels.session(
      program, Mesh(pp: stages, dp: 2, ep: 2), overlap: .microBatches(microBatches))
    let pool = session.plan.pools[0]
    #expect(pool.lots == stages && pool.parts == stages * microBatches)
    #expect(pool.pipeline?.stages.count == stages)
    let made = try session.generate(request)
    for (a, b) in zip(whole.prompts, made.prompts) {
      #expect(a.tokens == b.tokens && a.routes == b.routes && a.decodeRoutes == b.decodeRoutes)
      #expect(a.prefillLogits == b.prefillLogits && a.decodeLogits == b.decodeLogits)
      #expect(a.hidden == b.hidden)
    }
    // Every rank works on a lot until it is through, and then on the next.
    let rank = session.plan.instantiate(rank: 0, of: 0)
    let order = EPBackend.Issue.order(
      of: rank.calls.enumerated().map { ($0.offset, $0.element.function) },
      functions: pool.functions, microBatches: microBatches, lots: stages)
    let lots = order.map { $0.batch / microBatches }
    #expect(lots == lots.sorted() && Set(lots).count == stages)
  }

  @Test func handOverBetweenPoolsOfMicroBatches() throws {
    let program = SmallModels.program(4, drafts: 0)
    let request = GenerationRequest(
      prompts: SmallModels.prompts(4, count: 4), count: 5, kept: [.logits])
    let whole = try SmallModels.session(program, Mesh(dp: 2, ep: 2)).generate(request)
    let plan = try ReferenceCase.plan(
      of: program, prefill: Mesh(dp: 2, ep: 2), decode: Mesh(dp: 4, ep: 4), tokens: 40,
      overlap: .microBatches(2))
    #expect(plan.pools.map(\.microBatches) == [2, 2])
    let session = try PlanSession(
      plan, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice())
    let made = try session.generate(request)
    #expect(made.prompts.map(\.decodeLogits) == whole.prompts.map(\.decodeLogits))
  }

  @Test func layersOfMicroBatchesInterleave() throws {
    let program = SmallModels.program(4, drafts: 0)
    let plan = try ReferenceCase.plan(
      of: program, mesh: Mesh(dp: 2, ep: 2), tokens: 40, overlap: .microBatches(2))
    let pool = plan.pools[0]
    let rank = plan.instantiate(rank: 0, of: 0)
    let order = EPBackend.Issue.order(
      of: rank.calls.enumerated().map { ($0.offset, $0.element.function) },
      functions: pool.functions, microBatches: 2)
    let operations = rank.calls.reduce(0) {
      $0 + pool.functions[$1.function].function.operations.count
    }
    #expect(order.count == 2 * operations)
    // Somewhere one micro-batch goes on while the other is in the middle of a layer.
    #expect(
      zip(order, order.dropFirst()).contains { a, b in
        a.batch != b.batch && pool.functions[rank.calls[a.call].function].schedule != nil
      })
    for batch in 0..<2 {
      let own = order.filter { $0.batch == batch }.map(\.call)
      #expect(own == own.sorted())
    }
  }

  @Test func splitsKeepRowsInOrder() {
    var random = SmallGenerator(3)
    for _ in 0..<200 {
      let sizes = (0..<Int.random(in: 0...5, using: &random)).map { _ in
        Int.random(in: 1...7, using: &random)
      }
      var input = StepInput(.main)
      for (sequence, rows) in sizes.enumerated() {
        let first = Int.random(in: 0...rows, using: &random)
        input.parts.append(
          StepInput.Part(
            sequence: sequence, rows: rows, position: 3 * sequence,
            sampled: first..<Int.random(in: first...rows, using: &random)))
        input.ids += (0..<rows).map { _ in Int32.random(in: 0..<99, using: &random) }
      }
      input.hidden = input.ids.flatMap { [Float($0), -Float($0)] }
      let count = Int.random(in: 1...4, using: &random)
      let parts = input.split(into: count)
      #expect(parts.count == count && parts.flatMap(\.ids) == input.ids)
      #expect(parts.flatMap(\.hidden) == input.hidden)
      func places(_ input: StepInput) -> [[Int]] {
        input.parts.flatMap { part in
          (0..<part.rows).map {
            [part.sequence, part.position + $0, part.sampled.contains($0) ? 1 : 0]
          }
        }
      }
      #expect(parts.flatMap(places) == places(input))
      let rows = parts.map(\.ids.count)
      #expect((rows.max() ?? 0) - (rows.min() ?? 0) <= 1)
    }
  }
}

/// Meetings that take place later: nothing is complete before somebody waits.
struct LateTransport: Transport {
  private var base = InProcessTransport()
  private var complete: [Int] = []

  mutating func post(_ request: Request, from rank: Int) throws(BackendError) -> [Int] {
    complete += try base.post(request, from: rank)
    return []
  }

  mutating func wait() throws(BackendError) -> [Int] {
    defer { complete = [] }
    return complete
  }
}

/// One process whose transport is late.
struct LateProcess: ProcessGroup {
  func has(rank: Int, ofPool pool: Int) -> Bool { true }
  func makeTransport(pool: Int) -> any Transport { LateTransport() }
  func share(
    _ values: [Float], ofRank rank: Int, pool: Int
  ) throws(BackendError) -> [Float] { values }
}

extension OverlapTests {
  /// While an exchange is under way, ranks compute in other micro-batches, and to the same end.
  @Test(arguments: [Mesh(dp: 2, ep: 2), Mesh(pp: 2, dp: 2, ep: 2)])
  func ranksComputeWhileTheyWait(mesh: Mesh) throws {
    let program = SmallModels.program(4, drafts: 0)
    let plan = try ReferenceCase.plan(
      of: program, mesh: mesh, tokens: 40, overlap: .microBatches(2))
    let request = GenerationRequest(
      prompts: SmallModels.prompts(4, count: 4), count: 3, kept: [.logits])
    func run(_ processes: any ProcessGroup) throws -> (GenerationResult, [EPBackend.Issue]) {
      let session = try PlanSession(
        plan, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice(),
        processes: processes)
      var order: [EPBackend.Issue] = []
      session.pools[0].ranks[0].observer = { observation in
        guard let operation = observation.operation else { return }
        order.append(
          EPBackend.Issue(
            batch: observation.parts.first?.sequence ?? -1, call: observation.layer,
            operation: operation))
      }
      return (try session.generate(request), order)
    }
    let (wanted, order) = try run(SingleProcess())
    let (made, early) = try run(LateProcess())
    for (own, other) in zip(made.prompts, wanted.prompts) {
      #expect(own.tokens == other.tokens)
      #expect(own.prefillLogits == other.prefillLogits && own.decodeLogits == other.decodeLogits)
    }
    // The same operations, and some of them earlier than where they stand.
    #expect(Set(early) == Set(order) && early.count == order.count)
    #expect(early != order)
  }
}
