internal import EPIR
internal import EPModel

// Every value is the part of the model's value that its rank should have; partial sums are reduced.

/// How a value lies on the tensor ranks of a data group.
struct Spread: Hashable {
  /// Each rank holds a summand.
  var isPartial = false
  /// The axis the ranks split.
  var axis: String?
  /// Whether several ranks hold each part of the axis.
  var isRepeated = false
}

extension PoolVerifier {
  mutating func verifyParts(_ index: Int) {
    let sharded = pool.functions[index]
    let function = sharded.function
    var spread = Array(repeating: Spread(), count: function.values.count)
    for (number, operation) in function.operations.enumerated() {
      let suffix = ".functions[\(index)].operations[\(number)]"
      let inputs = operation.operands.map { operand -> SpreadRule.Input in
        switch operand.reference {
        case .value(let value):
          return SpreadRule.Input(operand.role, spread[value], function.values[value])
        case .weight(let weight):
          return SpreadRule.Input(
            operand.role, spreadOf(weight, in: sharded), function.weights[weight].type)
        case .cache: return SpreadRule.Input(operand.role, Spread(), nil)
        }
      }
      do throws(OpError) {
        let rule = SpreadRule(operation: operation, inputs: inputs, mesh: pool.mesh)
        let outcome = try rule.outcome()
        for value in operation.results {
          try check(function.values[value], outcome, of: value, in: index)
          spread[value] = outcome
        }
        try checkCache(operation, spread, index)
      } catch {
        report("partial-sum", "'\(operation.kind.rawValue)' \(error.description)", suffix)
        return
      }
    }
    let isTransport = sharded.isTransport
    for result in function.results {
      let rows = function.values[result.value].rows
      let isWhole = result.name == "logits" || pool.mesh.tp == 1
      if spread[result.value] != Spread() || !isTransport && (rows == .ownTokens) == isWhole {
        report(
          "partial-sum", "'\(result.name)' leaves '\(function.name)' in parts",
          ".functions[\(index)]")
      }
    }
    verifyFirstOnly(index)
  }

  private func spreadOf(_ weight: Int, in function: ShardedFunction) -> Spread {
    let sharding = function.sharding[weight]
    guard pool.mesh.tp > 1, let axis = sharding.tensorAxis else { return Spread() }
    return Spread(
      axis: sharding.axes[axis].name,
      isRepeated: (sharding.axes[axis].size ?? 0) % pool.mesh.tp != 0)
  }

  /// A value has the type of its part of the whole value.
  private func check(
    _ type: TensorType, _ spread: Spread, of value: Int, in index: Int
  ) throws(OpError) {
    let differs = type.rows == .ownTokens || type.rows == .routed && pool.mesh.holdsWholeExperts
    if pool.mesh.tp > 1 && differs && spread != Spread() {
      throw OpError("splits \(type), whose rows differ by rank")
    }
    guard let unsharder = unsharded[index], let whole = unsharder.wholes[value] else { return }
    var expected = unsharder.whole.values[whole]
    if let axis = spread.axis {
      guard let position = expected.position(of: axis), let size = expected.axes[position].size,
        let part = WeightSharding.part(of: size, over: pool.mesh.tp, at: 0)
      else { throw OpError("makes parts of '\(axis)', which \(expected) lacks") }
      expected.axes[position].size = part.count
    }
    if pool.mesh.tp > 1 && type.rows == .ownTokens && expected.rows == .tokens {
      expected.axes[0] = .ownTokens
    }
    if expected != type { throw OpError("makes \(type) where a rank's part is \(expected)") }
  }

  /// A cache is split as what is kept in it.
  private func checkCache(
    _ operation: Operation, _ spread: [Spread], _ index: Int
  ) throws(OpError) {
    guard case .cache(let cache)? = operation.operand("cache"), let unsharder = unsharded[index],
      let lead: String =
        switch operation.kind {
        case .attention: "key"
        case .linearAttention: "value"
        case .shortConvolution: "x"
        default: ""
        }
    else { return }
    var parts = 1
    if case .value(let value)? = operation.operand(lead), let axis = spread[value].axis,
      let whole = unsharder.wholes[value]
    {
      let size = unsharder.whole.values[whole].axis(named: axis)?.size ?? 1
      parts = min(size, pool.mesh.tp)
    }
    let stated = pool.functions[index].cacheParts[cache]
    if stated != parts { throw OpError("keeps a cache in \(parts) parts, not \(stated)") }
  }

  /// Biases that tensor rank 0 adds are those that only it uses.
  private mutating func verifyFirstOnly(_ index: Int) {
    let sharded = pool.functions[index]
    var onlyFirst: Set<Int> = []
    var onAll: Set<Int> = []
    for operation in sharded.function.operations {
      for operand in operation.operands {
        guard case .weight(let weight) = operand.reference else { continue }
        if operand.role == "bias" && operation.attributes["bias_on"] != nil {
          onlyFirst.insert(weight)
        } else {
          onAll.insert(weight)
        }
      }
    }
    for (weight, sharding) in sharded.sharding.enumerated()
    where sharding.isFirstOnly != (onlyFirst.contains(weight) && !onAll.contains(weight)) {
      report(
        "weight-first-only",
        "'\(sharded.function.weights[weight].name)' is \(sharding.isFirstOnly ? "" : "not ")"
          + "tensor rank 0's alone", ".functions[\(index)].weights[\(weight)]")
    }
  }
}
