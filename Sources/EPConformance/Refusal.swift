internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan
internal import EPRuntime

/// Something that must end with an error rather than with a wrong answer.
struct Refusal: Sendable {
  /// `limits` or `errors`.
  var group: String
  /// What is refused.
  var name: String
  private var kind: Kind

  private enum Kind {
    case routedRows, stepTokens, function, norm
  }

  static let all = [
    Refusal(
      group: "limits", name: "more routed rows than the plan has room for", kind: .routedRows),
    Refusal(group: "limits", name: "more tokens than the plan has room for", kind: .stepTokens),
    Refusal(group: "errors", name: "a function that there is not", kind: .function),
    Refusal(group: "errors", name: "a norm that there is not", kind: .norm),
  ]

  func row<D: Device>(_ device: D) -> Conformance.Row {
    do {
      switch kind {
      case .routedRows: try runSkewed(device)
      case .stepTokens: try runOversized(device)
      case .function: try prepare(.unary, Attributes(["function": "no_such_function"]), device)
      case .norm:
        try prepare(
          .norm,
          Attributes(["form": "no_such_norm", "axes": .list([.text("a")]), "epsilon": 0.1]), device)
      }
      return Conformance.Row(group, name, .failed("it is accepted"))
    } catch ExecutionError.routedCapacity where kind == .routedRows {
    } catch ExecutionError.stepTokens where kind == .stepTokens {
    } catch BackendError.unsupported(_, let reason) where !reason.isEmpty {
      if kind == .routedRows || kind == .stepTokens {
        return Conformance.Row(group, name, .unsupported(reason))
      }
    } catch ExecutionError.backend(.unsupported(_, let reason)) {
      return Conformance.Row(group, name, .unsupported(reason))
    } catch { return Conformance.Row(group, name, .failed("another error: \(error)")) }
    return Conformance.Row(group, name, .passed)
  }

  /// A plan whose experts have room for less than a prompt sends them.
  private func runSkewed<D: Device>(_ device: D) throws {
    var plan = try SampleRun.plan(
      SampleProgram.all[1].program(), [(.unified, Mesh(dp: 2, ep: 2))])
    for index in plan.pools[0].functions.indices
    where plan.pools[0].functions[index].routedCapacity > 4 {
      plan.pools[0].functions[index].routedCapacity = 4
    }
    let store = try WeightStore(.synthetic(seed: 7), for: plan)
    _ = try PlanSession(plan, weights: store, device: device).generate(SampleRun.request)
  }

  private func runOversized<D: Device>(_ device: D) throws {
    let plan = try SampleRun.plan(SampleProgram.all[1].program(), [(.unified, Mesh())])
    let store = try WeightStore(.synthetic(seed: 7), for: plan)
    let pool = try PoolRunner(plan, pool: 0, device: device, weights: store)
    let tokens = plan.pools[0].load.tokens + 1
    _ = try pool.run([
      StepInput(
        .main, parts: [StepInput.Part(sequence: 0, rows: tokens, position: 0)],
        ids: Array(repeating: 1, count: tokens))
    ])
  }

  private func prepare<D: Device>(
    _ kind: OpKind, _ attributes: Attributes, _ device: D
  ) throws(BackendError) {
    var function = Function("case")
    let type = TensorType([.tokens, Axis("a", 4)])
    function.values = [type, type]
    let operation = Operation(
      kind, [Operand("x", .value(0))], attributes: attributes, results: [1])
    _ = try device.makeKernel(OpDescription(operation, in: function))
  }
}
