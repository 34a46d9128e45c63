import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

/// Operations that the library does not know, with rules that are data.
@Suite struct CustomOperationTests {
  /// A feed-forward whose activation has a weight and other rules than any operation.
  struct Activated: Module {
    var shape: [String]?
    var split: [String]

    func callAsFunction(_ x: Tensor) -> Tensor {
      let channels = x.trace.intermediate(32)
      return x.linear("up", to: [channels])
        .custom(
          "ours", with: [x.trace.weight("scale", [channels], role: .vector)], shape: shape,
          split: split, operations: 1000
        )
        .linear("down", to: x.axes.suffix(1))
    }
  }

  private func model(_ module: Activated) -> Model {
    Model("custom", vocabulary: 64, hidden: 16) {
      Embedding()
      Layers(0..<2) {
        Block {
        } feedForward: {
          module
        }
      }
      RMSNorm()
      LanguageModelHead()
    }
  }

  private func plan(_ split: [String], tp: Int) throws -> Plan {
    try SamplePlans.plan(
      model(Activated(split: split)).traced().program, [(.unified, Mesh(tp: tp))])
  }

  /// The kinds of operations between the two products, and the elements the operation makes.
  private func middle(_ plan: Plan) throws -> (kinds: [OpKind], width: Int, weight: Int) {
    for sharded in plan.pools[0].functions {
      let function = sharded.function
      guard let index = function.operations.firstIndex(where: { $0.kind == .custom }),
        case .weight(let weight)? = function.operations[index].operands("x").last
      else { continue }
      let before = try #require(
        function.operations[..<index].lastIndex { $0.kind == .linear })
      return (
        function.operations[(before + 1)...index].map(\.kind),
        function.values[function.operations[index].results[0]].elementsPerRow,
        function.weights[weight].elementCount
      )
    }
    Testing.Issue.record("no custom operation")
    return ([], 0, 0)
  }

  @Test func rulesDecideWhatRanksHold() throws {
    let whole = try middle(try plan(["intermediate"], tp: 1))
    #expect(whole == ([.custom], 32, 32))
    let parts = try middle(try plan(["intermediate"], tp: 4))
    #expect(parts == ([.custom], 8, 8))
    let gathered = try middle(try plan([], tp: 4))
    #expect(gathered == ([.allGather, .custom], 32, 32))
  }

  @Test(arguments: [["intermediate"], []])
  func plansCarryTheRules(split: [String]) throws {
    let plan = try plan(split, tp: 2)
    let again = try Plan(bytes: try plan.serialized())
    #expect(again == plan)
    #expect(
      try again.program().functions.contains { $0.operations.contains { $0.kind == .custom } })
  }

  /// The rules are part of the model: a plan with others is not one of it.
  @Test func aPlanCannotHaveOtherRules() throws {
    var plan = try plan(["intermediate"], tp: 2)
    for index in plan.pools[0].functions.indices {
      for number in plan.pools[0].functions[index].function.operations.indices
      where plan.pools[0].functions[index].function.operations[number].kind == .custom {
        plan.pools[0].functions[index].function.operations[number].attributes["split"] = nil
      }
    }
    #expect(plan.verify().contains { $0.id == "program-digest" })
  }

  @Test func estimatesCountWhatTheRuleSays() throws {
    let model = CostModel(try SamplePlans.hardware(), calibration: .none)
    let estimate = StepEstimator(
      try plan(["intermediate"], tp: 1).pools[0], precision: .bf16, model: model
    ).estimate()
    let own = estimate.stages.joined().flatMap(\.operations).filter { $0.name.hasSuffix("ours") }
    let tokens = try #require(own.first).operations / (1000 * 32)
    #expect(!own.isEmpty && tokens >= 1 && tokens == tokens.rounded())
  }

  /// What rules may not say: the mistake is the model's, and named.
  @Test(arguments: [
    (["nothing"], [String](), "makes an axis 'nothing' that none of its operands has"),
    (["intermediate", "intermediate"], [], "makes 'intermediate' twice"),
    (nil, ["hidden"], "is computed in parts of 'hidden', which it does not make"),
  ])
  func aRuleThatMakesNoSenseIsRefused(
    shape: [String]?, split: [String], says: String
  ) {
    let traced = model(Activated(shape: shape, split: split)).traced()
    #expect(traced.diagnostics.contains { $0.message.contains(says) }, "\(traced.diagnostics)")
  }

  @Test(arguments: ["", "two words", "../ours", String(repeating: "a", count: 65)])
  func aNameIsAName(name: String) {
    let type = TensorType([.tokens, Axis("a", 3)])
    var function = Function("f")
    function.values = [type, type]
    let operation = Operation(
      .custom, [Operand("x", .value(0))],
      attributes: Attributes([
        "name": .text(name), "shape": .list([.text("a")]), "operations": .real(1),
      ]), results: [1])
    #expect(throws: OpError.self) { try operation.inferResults(in: function) }
  }
}
