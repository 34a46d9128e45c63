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
    var counted = WeightTally()
    for (call, isDraft) in calls.map({ ($0, false) }) + drafts.map({ ($0, true) }) {
      let function = functions[call.function]
      let share = function.activeExpertShare
      for weight in function.weights where weight.role != .constant {
        let copies = counted.count(weight, layers: call.layers)
        let elements = weight.elementCount.saturatingProduct(copies)
        if isDraft {
          count.drafts = count.drafts.saturatingSum(elements)
          continue
        }
        count.total = count.total.saturatingSum(elements)
        let isRouted = weight.axes.contains { $0.split == .expert }
        let used = weight.elementCount.multipliedFullWidth(by: isRouted ? share.used : share.of)
        let each = share.of.dividingFullWidth(used).quotient
        count.activated = count.activated.saturatingSum(each.saturatingProduct(copies))
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

  /// Layers with routed experts.
  public var expertLayerCount: Int {
    calls.reduce(0) { sum, call in
      let routes = functions[call.function].operations.contains { $0.kind == .dispatch }
      return routes ? sum + call.layers.count : sum
    }
  }

  /// The model's sizes as plain data, by the names that the summary of a plan has for them.
  public var sizes: Document {
    let count = parameterCount
    return .object([
      "name": .text(name), "parameters": .int(count.total),
      "activated_parameters": .int(count.activated), "table_parameters": .int(count.table),
      "draft_parameters": .int(count.drafts), "layers": .int(layerCount),
      "expert_layers": .int(expertLayerCount), "mtp_depth": .int(drafts.count),
    ])
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

/// Which weights were met already, so that each counts once however many functions read it.
package struct WeightTally {
  private var seen: [String: Set<Int>] = [:]

  /// Nothing met yet.
  package init() {}

  /// In how many of the layers the weight was not met before; one that names no layer is in all.
  package mutating func count(_ weight: WeightDeclaration, layers: [Int]) -> Int {
    // `{layer}`, as against `{expert}`: searching for the whole word takes far longer.
    let bytes = weight.name.utf8
    let namesLayer = zip(bytes, bytes.dropFirst()).contains {
      $0 == UInt8(ascii: "{") && $1 == UInt8(ascii: "l")
    }
    let layers = namesLayer ? layers : [-1]
    guard var known = seen.removeValue(forKey: weight.name) else {
      let fresh = Set(layers)
      seen[weight.name] = fresh
      return fresh.count
    }
    let before = known.count
    known.formUnion(layers)
    seen[weight.name] = known
    return known.count - before
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
