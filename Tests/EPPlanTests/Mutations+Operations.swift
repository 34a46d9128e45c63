import EPIR
import EPModel
import EPPlan
import EPTestSupport

extension Mutation {
  static var operations: [Mutation] {
    [
      .operation("change a collective's group", where: { $0.attributes["group"] != nil }) {
        operation, _, random in
        let others = Mesh.Group.allCases.map(\.rawValue)
          .filter { $0 != operation.attributes.text("group") }
        operation.attributes["group"] = .text(random.pick(others + ["none"]))
        return true
      },
      .operation("change a collective's parts", where: { $0.attributes["parts"] != nil }) {
        operation, _, random in
        operation.attributes["parts"] = .int(operation.attributes.int("parts") * 2)
        return true
      },
      .operation("change a collective's axis", where: isCollective) { operation, function, random in
        guard operation.attributes["axis"] != nil, case .value(let x)? = operation.operand("x"),
          let axis = function.function.values[x].axes.map(\.name)
            .filter({ $0 != operation.attributes.text("axis") }).last
        else { return false }
        operation.attributes["axis"] = .text(axis)
        return true
      },
      .operation("swap a collective for another", where: isCollective) { operation, _, random in
        let kinds: [OpKind] = [.allReduce, .allGather, .reduceScatter, .scatterRows]
          .filter { $0 != operation.kind }
        operation.kind = random.pick(kinds)
        return true
      },
      .operation("change the algorithm", where: { $0.attributes["algorithm"] != nil }) {
        operation, _, random in
        let others = OpKind.algorithms.filter { $0 != operation.attributes.text("algorithm") }
        operation.attributes["algorithm"] = .text(random.pick(others))
        return true
      },
      .operation("read another value") { operation, function, random in
        let values = operation.operands.indices.filter {
          if case .value = operation.operands[$0].reference { return true } else { return false }
        }
        guard !values.isEmpty else { return false }
        let index = random.pick(values)
        guard case .value(let before) = operation.operands[index].reference else { return false }
        // Most of one type, where only meaning can tell.
        var others = function.function.values.indices.filter {
          $0 != before && function.function.values[$0] == function.function.values[before]
        }
        if others.isEmpty { others = function.function.values.indices.filter { $0 != before } }
        guard !others.isEmpty else { return false }
        operation.operands[index].reference = .value(random.pick(others))
        return true
      },
      .operation("read another weight") { operation, function, random in
        let weights = operation.operands.indices.filter {
          if case .weight = operation.operands[$0].reference { return true } else { return false }
        }
        guard !weights.isEmpty else { return false }
        let index = random.pick(weights)
        let before = operation.operands[index].reference
        operation.operands[index].reference =
          .weight(random.below(function.function.weights.count))
        return operation.operands[index].reference != before
      },
      .operation("drop an operand") { operation, _, random in
        guard !operation.operands.isEmpty else { return false }
        operation.operands.remove(at: random.below(operation.operands.count))
        return true
      },
      .operation("swap two operands") { operation, _, _ in
        guard operation.operands.count > 1,
          operation.operands[0].reference != operation.operands[1].reference
        else { return false }
        let first = operation.operands[0].reference
        operation.operands[0].reference = operation.operands[1].reference
        operation.operands[1].reference = first
        return true
      },
      .operation("change an attribute", where: { !$0.attributes.entries.isEmpty }) {
        operation, _, random in
        let entry = random.pick(operation.attributes.entries)
        switch entry.value {
        case .flag(let flag): operation.attributes[entry.name] = .flag(!flag)
        case .int(let number): operation.attributes[entry.name] = .int(number + 1)
        case .real(let number): operation.attributes[entry.name] = .real(number * 1.5 + 1)
        case .text(let text):
          let allowed = operation.kind.specification.attributes.first { $0.name == entry.name }
          if case .text(let texts)? = allowed?.form, texts.count > 1 {
            operation.attributes[entry.name] = .text(random.pick(texts.filter { $0 != text }))
          } else {
            operation.attributes[entry.name] = .text(text + "x")
          }
        case .list(let elements):
          operation.attributes[entry.name] = .list(Array(elements.dropLast()))
        }
        return operation.attributes[entry.name] != entry.value
      },
      .operation("drop an attribute", where: { !$0.attributes.entries.isEmpty }) {
        operation, _, random in
        operation.attributes[random.pick(operation.attributes.entries).name] = nil
        return true
      },
      .operation("add an attribute") { operation, _, random in
        let missing = operation.kind.specification.attributes.filter {
          operation.attributes[$0.name] == nil
        }
        guard !missing.isEmpty else { return false }
        let rule = random.pick(missing)
        switch rule.form {
        case .flag: operation.attributes[rule.name] = true
        case .int: operation.attributes[rule.name] = 3
        case .real: operation.attributes[rule.name] = 0.5
        case .texts, .ints: operation.attributes[rule.name] = []
        case .text(let texts): operation.attributes[rule.name] = .text(texts.first ?? "x")
        }
        // A dispatch without experts elsewhere runs alike whatever its group is called.
        return rule.name != "group"
      },
      .operation("add a bias on tensor rank 0 only", where: { $0.kind == .linear }) {
        operation, _, _ in
        if operation.attributes["bias_on"] != nil { return false }
        operation.attributes["bias_on"] = "first"
        return true
      },
      .operation(
        "drop bias_on or identity_on",
        where: { $0.attributes["bias_on"] != nil || $0.attributes["identity_on"] != nil }
      ) { operation, _, _ in
        let before = operation.attributes
        operation.attributes["bias_on"] = nil
        operation.attributes["identity_on"] = nil
        return operation.attributes != before
      },
      .operation("change the kind") { operation, _, random in
        let kind = random.pick(OpKind.allCases)
        if kind == operation.kind { return false }
        operation.kind = kind
        return true
      },
      .operation("rename a scope", where: { !isCollective($0) && $0.kind != .sumSquares }) {
        operation, _, _ in
        if operation.kind == .send || operation.kind == .receive { return false }
        operation.scope += ".x"
        return true
      },
      .operation("blame a place there is not") { operation, _, _ in
        operation.location = 1 << 19
        return true
      },
    ]
  }

  static var weights: [Mutation] {
    [
      .weight("rename a weight") { weight, _, _, _ in
        weight.name += "x"
        return true
      },
      .weight("change a weight's axis") { weight, sharding, _, random in
        let axis = random.below(sharding.axes.count)
        sharding.axes[axis].size? *= 2
        if random.once(in: 2) { weight.axes[axis].size? *= 2 }
        return true
      },
      .weight("change a weight's role") { weight, _, _, random in
        let others = WeightDeclaration.Role.allCases.filter { $0 != weight.role }
        weight.role = random.pick(others)
        return true
      },
      .weight("change where a weight is stored") { weight, _, _, random in
        guard !weight.stored.isEmpty else { return false }
        switch random.below(3) {
        case 0: weight.stored[0].name += "x"
        case 1: weight.stored[0].transposed.toggle()
        default: weight.stored.removeLast()
        }
        return true
      },
      .weight("change a constant") { weight, _, _, _ in
        guard !weight.constants.isEmpty else { return false }
        weight.constants[0][0] += 1
        return true
      },
      .weight("split a weight otherwise") { weight, sharding, pool, random in
        if pool.mesh.tp == 1 { return false }
        let before = sharding.tensorAxis
        sharding.tensorAxis = before == nil ? sharding.axes.count - 1 : nil
        if let local = sharding.localAxes(
          mesh: pool.mesh, slotsPerRank: pool.placements.first?.slotsPerRank ?? 0)
        {
          weight.axes = local
        }
        return true
      },
      .weight("split a weight along another axis") { weight, sharding, pool, random in
        guard pool.mesh.tp > 1, let before = sharding.tensorAxis, sharding.axes.count > 1 else {
          return false
        }
        sharding.tensorAxis = (before + 1) % sharding.axes.count
        if let local = sharding.localAxes(
          mesh: pool.mesh, slotsPerRank: pool.placements.first?.slotsPerRank ?? 0)
        {
          weight.axes = local
        }
        return true
      },
      .weight("split experts otherwise") { _, sharding, _, _ in
        sharding.expertAxis = sharding.expertAxis == nil ? 0 : nil
        return true
      },
      .weight("leave a weight to tensor rank 0, or not") { _, sharding, _, _ in
        sharding.isFirstOnly.toggle()
        return true
      },
    ]
  }
}
