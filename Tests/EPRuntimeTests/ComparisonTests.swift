import EPBackend
import EPBackendCPU
import EPIR
import EPModel
import EPRuntime
import Testing

/// The CPU with one kind of operation slightly wrong.
struct FaultyDevice: Device {
  struct Kernel: Sendable {
    var kernel: CPUKernel
    var isFaulty: Bool
  }
  var fault: OpKind
  let base = ReferenceDevice()

  var name: String { "faulty" }
  func makeKernel(_ operation: OpDescription) throws(BackendError) -> Kernel {
    Kernel(kernel: try base.makeKernel(operation), isFaulty: operation.kind == fault)
  }
  func allocate(bytes: Int) -> Storage { base.allocate(bytes: bytes) }
  func run(_ kernel: Kernel, _ arguments: OpArguments, _ step: StepState) {
    base.run(kernel.kernel, arguments, step)
    if kernel.isFaulty { unsafe arguments.results[0].reals[0] += 0.01 }
  }
  func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory
  ) { base.pack(x, width: width, rows: rows, scales: scales, count: count, to: result) }
  func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory) {
    base.unpack(x, width: width, places: places, count: count, to: result)
  }
  func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory) {
    base.sum(x, blocks: blocks, count: count, to: result)
  }
  func combine(_ combination: Combination, to result: Memory, _ step: StepState) {
    base.combine(combination, to: result, step)
  }
  func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int
  ) {
    base.copy(
      x, stride: stride, to: result, resultStride: resultStride, count: count, outer: outer)
  }
}

@Suite struct ComparisonTests {
  static let request = GenerationRequest(prompts: SmallModels.prompts(4), count: 2)

  @Test(arguments: [
    Mesh(), Mesh(dp: 2, ep: 2), Mesh(dp: 2, tp: 2, ep: 4), Mesh(pp: 2, tp: 4, ep: 1),
    Mesh(dp: 2, tp: 4, ep: 2),
  ])
  func allOperationsAgree(mesh: Mesh) throws {
    for number in [1, 3, 4, 6] {
      let program = SmallModels.program(number)
      let reference = try SmallModels.session(program, Mesh())
      guard let session = try? SmallModels.session(program, mesh) else { continue }
      var request = ComparisonTests.request
      if !program.drafts.isEmpty { request.speculate = 1 }
      let comparison = try Comparison.run(session, against: reference, request)
      #expect(comparison.first == nil, "\(comparison.text)")
      // Of each layer all operations whose rows are tokens.
      for layer in 0..<4 {
        let kinds = comparison.entries.filter { $0.layer == layer }.map(\.kind)
        #expect(kinds.contains(.norm) && kinds.contains(.binary) && kinds.contains(.linear))
      }
      let head = comparison.entries.filter { $0.layer < 0 && $0.function == "head" }.map(\.kind)
      #expect(head.contains(.sampleRows) && head.contains(.linear))
      #expect(comparison.text.contains("operations agree within"))
    }
  }

  @Test(arguments: [OpKind.latentAttention, .glu, .rope, .slice])
  func theFirstFaultyOperationIsNamed(kind: OpKind) throws {
    let program = SmallModels.program(4, drafts: 0)
    let plan = try SmallModels.session(program, Mesh(dp: 2, ep: 2)).plan
    let faulty = try PlanSession(
      plan, weights: try WeightStore(.synthetic(seed: 7), for: plan),
      device: FaultyDevice(fault: kind))
    let comparison = try Comparison.run(
      faulty, against: try SmallModels.session(program, Mesh()), ComparisonTests.request)
    let first = try #require(comparison.first)
    // Rows of experts are not compared, so a fault there shows when they come back.
    #expect(first.kind == (kind == .glu ? .combine : kind) || first.kind == kind)
    #expect(first.layer == 0)
    #expect(
      comparison.text.contains("layer 0, operation \(first.operation) '\(first.kind.rawValue)'"))
  }

  @Test func plansOfOtherModelsAreRefused() throws {
    let session = try SmallModels.session(SmallModels.program(0), Mesh())
    let other = try SmallModels.session(SmallModels.program(1), Mesh())
    #expect(throws: ExecutionError.request("the two plans are of different models")) {
      try Comparison.run(session, against: other, ComparisonTests.request)
    }
  }
}
