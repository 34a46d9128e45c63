internal import EPIR
internal import EPModel

// Every weight element is held by the ranks that should; partial sums are reduced.
extension PoolVerifier {
  mutating func verifyWeights(_ index: Int) {
    let function = pool.functions[index]
    let placed = pool.placements.first { $0.function == index }
    for (number, (weight, sharding)) in zip(function.function.weights, function.sharding)
      .enumerated()
    {
      let suffix = ".functions[\(index)].weights[\(number)]"
      let local = sharding.localAxes(mesh: pool.mesh, slotsPerRank: placed?.slotsPerRank ?? 0)
      if local != weight.axes {
        report(
          "weight-local",
          "'\(weight.name)' is \(weight.type) on a rank, its sharding makes "
            + "\(local.map { TensorType($0).description } ?? "nothing")", suffix)
      }
      if let axis = sharding.tensorAxis, let size = sharding.axes[axis].size {
        var holders = Array(repeating: 0, count: size)
        for rank in 0..<pool.mesh.tp {
          for element in WeightSharding.part(of: size, over: pool.mesh.tp, at: rank) ?? 0..<0 {
            holders[element] += 1
          }
        }
        let each = max(pool.mesh.tp / size, 1)
        if holders.contains(where: { $0 != each }) {
          report("weight-coverage", "'\(weight.name)' is not held \(each) times each", suffix)
        }
        if sharding.axes[axis].split != .tensor {
          report(
            "weight-split", "'\(weight.name)' is split along \(sharding.axes[axis])", suffix)
        }
      }
      let hasExperts = sharding.axes.first?.split == .expert
      if hasExperts != (sharding.expertAxis == 0) {
        report("weight-experts", "'\(weight.name)' is not split along its experts", suffix)
      }
      if hasExperts, sharding.axes[0].size != placed?.experts {
        report(
          "weight-experts",
          "'\(weight.name)' has \(sharding.axes[0]), the placement "
            + "\(placed?.experts ?? 0)", suffix)
      }
    }
  }

  /// How a value is spread over the tensor ranks of a data group.
  private struct Spread: Hashable {
    /// Each rank holds a summand.
    var isPartial = false
    /// The axis the ranks split.
    var axis: String?
  }

  mutating func verifyPartialSums(_ index: Int) {
    let function = pool.functions[index]
    var spread = Array(repeating: Spread(), count: function.function.values.count)
    for (number, operation) in function.function.operations.enumerated() {
      let suffix = ".functions[\(index)].operations[\(number)]"
      let inputs = operation.operands.map { operand -> (String, Spread) in
        switch operand.reference {
        case .value(let value): return (operand.role, spread[value])
        case .weight(let weight): return (operand.role, spreadOf(weight, in: function))
        case .cache: return (operand.role, Spread())
        }
      }
      let result = outcome(operation, inputs, in: function)
      switch result {
      case .success(let outcome):
        for value in operation.results { spread[value] = outcome }
      case .failure(let problem):
        report("partial-sum", "'\(operation.kind.rawValue)' \(problem.description)", suffix)
      }
    }
    for result in function.function.results where spread[result.value] != Spread() {
      report(
        "partial-sum", "'\(result.name)' leaves '\(function.function.name)' in parts",
        ".functions[\(index)]")
    }
  }

  private func spreadOf(_ weight: Int, in function: ShardedFunction) -> Spread {
    let sharding = function.sharding[weight]
    guard pool.mesh.tp > 1, let axis = sharding.tensorAxis else { return Spread() }
    return Spread(axis: sharding.axes[axis].name)
  }

  private func outcome(
    _ operation: Operation, _ inputs: [(role: String, spread: Spread)],
    in function: ShardedFunction
  ) -> Result<Spread, OpError> {
    func input(_ role: String) -> Spread { inputs.first { $0.role == role }?.spread ?? Spread() }
    let partial = inputs.filter(\.spread.isPartial).map(\.role)
    let axes = Set(inputs.compactMap(\.spread.axis))
    switch operation.kind {
    case .allReduce, .reduceScatter:
      if partial.isEmpty { return .failure(OpError("reduces what is no partial sum")) }
      return .success(Spread(axis: input("x").axis))
    case .reshape, .slice, .affine, .combine:
      let keepsSum = operation.attributes["offset"] == nil
      if !partial.isEmpty && (partial != ["x"] || !keepsSum) {
        return .failure(OpError("reads a partial sum"))
      }
      if !partial.isEmpty && operation.operand("identity") != nil
        && operation.attributes["identity_on"] == nil
      {
        return .failure(OpError("adds identity experts to each part of a sum"))
      }
    default:
      if !partial.isEmpty { return .failure(OpError("reads a partial sum")) }
    }
    switch operation.kind {
    case .embed:
      let axis = input("table").axis
      return .success(Spread(isPartial: axis != nil))
    case .linear, .contract:
      let contract = Set(operation.attributes.texts("contract"))
      let isPartial = !axes.isDisjoint(with: contract)
      let kept = axes.subtracting(contract)
      if isPartial && !kept.isEmpty || kept.count > 1 {
        return .failure(OpError("joins parts of \(axes.sorted())"))
      }
      if isPartial && operation.operand("bias") != nil && operation.attributes["bias_on"] == nil {
        return .failure(OpError("adds the bias to each part of a sum"))
      }
      return .success(Spread(isPartial: isPartial, axis: kept.first))
    case .allGather:
      let gathered = operation.attributes.text("axis")
      let axis = input("x").axis
      return .success(Spread(axis: axis == gathered ? nil : axis))
    case .reshape:
      let from = operation.attributes.texts("from")
      guard let axis = input("x").axis, from.contains(axis) else { return .success(input("x")) }
      guard axis == from.first, let to = operation.attributes.texts("to").first,
        let first = try? Axis(parsing: to)
      else { return .failure(OpError("splits up the axis '\(axis)' of which ranks hold parts")) }
      return .success(Spread(isPartial: input("x").isPartial, axis: first.name))
    case .slice, .concat, .softmax:
      if axes.contains(operation.attributes.text("axis")) {
        return .failure(OpError("runs along an axis of which ranks hold parts"))
      }
      return .success(
        Spread(isPartial: !partial.isEmpty, axis: axes.first))
    case .reduce:
      let reduced = Set(operation.attributes.texts("axes"))
      if axes.isDisjoint(with: reduced) { return .success(Spread(axis: axes.first)) }
      return operation.attributes.text("function") == "sum"
        ? .success(Spread(isPartial: true))
        : .failure(OpError("runs along an axis of which ranks hold parts"))
    case .sampleRows:
      let isOwn =
        operation.operand("x").flatMap { function.function.type(of: $0)?.rows } == .ownTokens
      return .success(Spread(isPartial: isOwn, axis: axes.first))
    case .sumSquares:
      let isPartial = !axes.isDisjoint(with: operation.attributes.texts("axes"))
      return .success(Spread(isPartial: isPartial, axis: isPartial ? nil : axes.first))
    case .norm:
      let runsAcross = !axes.isDisjoint(with: operation.attributes.texts("axes"))
      if runsAcross && operation.operand("squares") == nil {
        return .failure(OpError("runs along an axis of which ranks hold parts"))
      }
      return .success(input("x"))
    case .attention, .latentAttention:
      return .success(Spread(axis: input("query").axis))
    case .linearAttention: return .success(Spread(axis: input("value").axis))
    case .index, .route, .dispatch:
      if !axes.isEmpty { return .failure(OpError("reads parts along \(axes.sorted())")) }
      return .success(Spread())
    case .combine:
      if !axes.isEmpty { return .failure(OpError("reads parts along \(axes.sorted())")) }
      return .success(Spread(isPartial: !partial.isEmpty))
    default:
      return axes.count > 1
        ? .failure(OpError("joins parts of \(axes.sorted())"))
        : .success(Spread(isPartial: !partial.isEmpty, axis: axes.first))
    }
  }
}
