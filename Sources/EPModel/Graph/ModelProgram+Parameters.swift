/// How many weights a model has.
public struct ParameterCount: Hashable, Sendable {
  /// All weights of embedding, layers and head.
  public var total = 0
  /// Those a token uses: of the routed experts only as many as it is routed to.
  public var activated = 0
  /// The part of `activated` that is the token table, which is looked up and not multiplied.
  /// A tied table counts as the head's and is not in here.
  public var table = 0
  /// Weights of MTP depths that the model does not have already.
  public var drafts = 0
}

extension ModelProgram {
  /// The model's weights, each counted once however many functions read it.
  public var parameterCount: ParameterCount {
    var count = ParameterCount()
    var counted: Set<String> = []
    for (call, isDraft) in calls.map({ ($0, false) }) + drafts.map({ ($0, true) }) {
      let function = functions[call.function]
      let share = function.activeExpertShare
      for weight in function.weights where weight.role != .constant {
        let layers = weight.name.contains("{layer}") ? call.layers : [-1]
        for layer in layers where counted.insert("\(layer) \(weight.name)").inserted {
          let elements = weight.elementCount
          if isDraft {
            count.drafts += elements
            continue
          }
          count.total += elements
          let isRouted = weight.axes.contains { $0.split == .expert }
          count.activated += isRouted ? elements * share.used / share.of : elements
        }
      }
    }
    let looked = Set(weightNames(usedBy: .embed))
    let multiplied = Set(weightNames(usedBy: .linear))
    for function in functions {
      for weight in function.weights
      where looked.contains(weight.name) && !multiplied.contains(weight.name) {
        count.table = weight.elementCount
      }
    }
    return count
  }

  private func weightNames(usedBy kind: OpKind) -> [String] {
    functions.flatMap { function in
      function.operations.filter { $0.kind == kind }.flatMap { operation in
        operation.operands.compactMap { operand in
          if case .weight(let index) = operand.reference {
            return function.weights[index].name
          }
          return nil
        }
      }
    }
  }
}

extension Function {
  /// How many of its routed experts a token uses, at most.
  public var activeExpertShare: (used: Int, of: Int) {
    guard let dispatch = operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices")
    else { return (1, 1) }
    let experts = max(dispatch.attributes.int("experts"), 1)
    return (min(values[indices].axes.last?.size ?? 1, experts), experts)
  }
}
