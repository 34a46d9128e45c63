internal import EPIR
internal import EPModel
internal import EPPlan

// One rule for each kind of operation: which forms it takes, and which form it makes.
extension FunctionSharder {
  mutating func rewrite(_ operation: Operation) throws(OpError) {
    switch operation.kind {
    case .embed: try rewriteEmbed(operation)
    case .linear: try rewriteLinear(operation)
    case .unary, .binary, .affine, .glu, .positionScale, .rope, .contract:
      try rewriteJoined(operation, along: [])
    case .custom:
      let split = operation.attributes.texts("split")
      let axes = operation.operands.flatMap { source.type(of: $0.reference)?.axes ?? [] }
      try rewriteJoined(operation, along: axes.map(\.name).filter { !split.contains($0) })
    case .softmax, .slice, .concat:
      try rewriteJoined(operation, along: [operation.attributes.text("axis")])
    case .reduce: try rewriteJoined(operation, along: operation.attributes.texts("axes"))
    case .norm: try rewriteNorm(operation)
    case .sumSquares: try rewriteJoined(operation, along: operation.attributes.texts("axes"))
    case .reshape: try rewriteReshape(operation)
    case .attention, .latentAttention, .linearAttention: try rewriteAttention(operation)
    case .index: try rewriteAllTokens(operation)
    case .shortConvolution: try rewriteConvolution(operation)
    case .sampleRows: try rewriteSample(operation)
    case .route: try rewriteRoute(operation)
    case .dispatch, .combine: try rewriteExchange(operation)
    case .allReduce, .allGather, .reduceScatter, .scatterRows, .send, .receive:
      throw OpError("'\(operation.kind.rawValue)' in a function that is not sharded yet")
    }
  }

  private mutating func define(
    _ operation: Operation, _ operands: [Operand], _ layout: Layout,
    attributes: Attributes? = nil
  ) throws(OpError) {
    let made = try emit(operation.kind, operands, attributes ?? operation.attributes)
    for (old, new) in zip(operation.results, made) {
      var layout = layout
      layout.rows = result.values[new].rows
      values[old] = (new, layout)
    }
  }

  /// The operands with every value in the form wished for, weights and caches as they are.
  private mutating func formed(
    _ operation: Operation, _ wish: Wish
  ) throws(OpError) -> [Operand] {
    var operands: [Operand] = []
    for operand in operation.operands {
      if case .value(let old) = operand.reference {
        operands.append(Operand(operand.role, .value(try form(old, wish).value)))
      } else {
        operands.append(operand)
      }
    }
    return operands
  }

  private func valueIndex(_ operation: Operation, _ role: String) throws(OpError) -> Int {
    guard case .value(let value)? = operation.operand(role) else {
      throw OpError("'\(operation.kind.rawValue)' has no '\(role)'")
    }
    return value
  }

  private func weightIndex(_ operation: Operation, _ role: String) -> Int? {
    guard case .weight(let weight)? = operation.operand(role) else { return nil }
    return weight
  }

  private mutating func rewriteEmbed(_ operation: Operation) throws(OpError) {
    let ids = try form(try valueIndex(operation, "ids"), .replicated)
    guard let table = weightIndex(operation, "table") else { throw OpError("no table") }
    let isSplit = self.isSplit(source.weights[table].axes[0], inExperts: false)
    try split(table, along: isSplit ? 0 : nil)
    try define(
      operation, [Operand("ids", .value(ids.value)), Operand("table", .weight(table))],
      Layout(isPartial: isSplit))
  }

  private mutating func rewriteLinear(_ operation: Operation) throws(OpError) {
    guard let weight = weightIndex(operation, "weight") else { throw OpError("no weight") }
    let axes = source.weights[weight].axes
    let contract = operation.attributes.texts("contract")
    let batch = operation.attributes.texts("batch")
    let inExperts = axes.first?.split == .expert
    let bias = weightIndex(operation, "bias")
    var x = try form(try valueIndex(operation, "x"), .whole)
    var attributes = operation.attributes
    var layout = Layout()
    let first = inExperts ? 1 : 0
    if let axis = x.layout.axis, contract.contains(axis) {
      let position = axes.count - contract.count + (contract.firstIndex(of: axis) ?? 0)
      if (axes[position].size ?? 0) % mesh.tp != 0 {
        throw OpError(
          "\(axes[position]) cannot be contracted in \(mesh.tp) parts; take a smaller '--tp'")
      }
      try split(weight, along: position)
      layout.isPartial = true
      if let bias {
        attributes["bias_on"] = "first"
        sharding[bias].isFirstOnly = true
      }
    } else if let axis = x.layout.axis, let position = batch.firstIndex(of: axis) {
      try split(weight, along: first + position)
      if let bias { try split(bias, along: first + position) }
      layout.axis = axis
    } else {
      let outStart = first + batch.count
      let out = outStart..<(axes.count - contract.count)
      if let position = out.first(where: { isSplit(axes[$0], inExperts: inExperts) }) {
        if !inExperts { x = try form(try valueIndex(operation, "x"), .replicated) }
        try split(weight, along: position)
        if let bias { try split(bias, along: position) }
        layout.axis = axes[position].name
      } else {
        if source.weights[weight].role == .router && scoresAllTokens {
          x = try form(try valueIndex(operation, "x"), .replicated)
        }
        try split(weight, along: nil)
      }
    }
    var operands = [Operand("x", .value(x.value)), Operand("weight", .weight(weight))]
    if let bias { operands.append(Operand("bias", .weight(bias))) }
    try define(operation, operands, layout, attributes: attributes)
  }

  /// Element-wise operations and their like: all operands share rows, and parts along one axis.
  private mutating func rewriteJoined(
    _ operation: Operation, along forbidden: [String]
  ) throws(OpError) {
    let contracted = operation.kind == .contract ? operation.attributes.texts("contract") : []
    let blocked = forbidden + contracted
    var forms: [(role: String, old: Int, made: (value: Int, layout: Layout))] = []
    let meetsParts = operation.operands.contains { operand in
      guard case .value(let old) = operand.reference else { return false }
      return values[old]?.layout.axis.map { !blocked.contains($0) } ?? false
    }
    for operand in operation.operands {
      guard case .value(let old) = operand.reference else { continue }
      let isPartial = values[old]?.layout.isPartial ?? false
      var made = try form(old, isPartial && meetsParts ? .replicated : .whole)
      if let axis = made.layout.axis, blocked.contains(axis) { made = try form(old, .replicated) }
      forms.append((operand.role, old, made))
    }
    // Values without rows come of weights alone and are split wherever they can be.
    let parts = Set(forms.compactMap { $0.made.layout.rows == nil ? nil : $0.made.layout.axis })
    let axis = parts.count == 1 ? parts.first : nil
    for index in forms.indices where forms[index].made.layout.rows != nil {
      let hasAxis = forms[index].made.layout.axis == axis && axis != nil
      if mesh.tp == 1 || forms[index].made.layout.rows == .routed || hasAxis { continue }
      let isAllOwn = axis == nil && forms.allSatisfy { $0.made.layout.rows != .tokens }
      if parts.count > 1 || axis != nil {
        forms[index].made = try form(forms[index].old, .replicated)
      } else if !isAllOwn && forms.count > 1 {
        forms[index].made = try form(forms[index].old, .own)
      }
    }
    let commonAxis = axis ?? forms.compactMap { $0.made.layout.axis }.first
    var operands: [Operand] = []
    for operand in operation.operands {
      switch operand.reference {
      case .value(let old):
        guard let made = forms.first(where: { $0.role == operand.role && $0.old == old })?.made
        else { throw OpError("'\(operand.role)' is not there") }
        operands.append(Operand(operand.role, .value(made.value)))
      case .weight(let weight):
        let axes = source.weights[weight].axes
        // What an operation from outside does with a weight's axes, only values of the axis say.
        try split(
          weight,
          along: axes.firstIndex {
            operation.kind == .custom ? $0.name == axis : isSplit($0, inExperts: false)
          })
        operands.append(operand)
      case .cache: operands.append(operand)
      }
    }
    var resultAxis = commonAxis
    if forms.isEmpty || forms.allSatisfy({ $0.made.layout.rows == nil }) {
      resultAxis =
        commonAxis
        ?? operation.operands.compactMap { operand -> String? in
          guard case .weight(let weight) = operand.reference,
            let axis = sharding[weight].tensorAxis
          else { return nil }
          return sharding[weight].axes[axis].name
        }.first
    }
    try define(operation, operands, Layout(axis: resultAxis))
  }

  /// A norm across an axis of which ranks hold parts sums the squares over them first.
  private mutating func rewriteNorm(_ operation: Operation) throws(OpError) {
    let old = try valueIndex(operation, "x")
    let axes = operation.attributes.texts("axes")
    var x = try form(old, .whole)
    var attributes = operation.attributes
    var operands = [Operand("x", .value(x.value))]
    var sums: Operand?
    let runsAcross = x.layout.axis.map { axes.contains($0) } ?? false
    if runsAcross && operation.attributes.text("form") != "rms" {
      x = try form(old, .replicated)
      operands = [Operand("x", .value(x.value))]
    } else if runsAcross, let axis = x.layout.axis {
      let whole = source.values[old]
      let local = result.values[x.value].axis(named: axis)?.size ?? 1
      let copies = local * mesh.tp / (whole.axis(named: axis)?.size ?? 1)
      let squares = try emit(
        .sumSquares, [Operand("x", .value(x.value))],
        Attributes([
          "axes": .list(axes.map(Attribute.text)),
          "factor": copies > 1 ? .real(1 / Double(copies)) : nil,
        ]))[0]
      let sum = try emit(
        .allReduce, [Operand("x", .value(squares))],
        Attributes(["group": .text(Mesh.Group.tensor.rawValue)]))[0]
      attributes["count"] = .int(axes.reduce(1) { $0 * (whole.axis(named: $1)?.size ?? 1) })
      sums = Operand("squares", .value(sum))
    }
    for role in ["weight", "bias"] {
      guard let weight = weightIndex(operation, role) else { continue }
      let position = source.weights[weight].axes.firstIndex { $0.name == x.layout.axis }
      try split(weight, along: position)
      operands.append(Operand(role, .weight(weight)))
    }
    // In the order of the specification, as a plan that is read has them.
    if let sums { operands.append(sums) }
    try define(operation, operands, Layout(axis: x.layout.axis), attributes: attributes)
  }

  private mutating func rewriteReshape(_ operation: Operation) throws(OpError) {
    let old = try valueIndex(operation, "x")
    let from = operation.attributes.texts("from")
    var to: [Axis] = []
    for text in operation.attributes.texts("to") { to.append(try Axis(parsing: text)) }
    var x = try form(old, .whole)
    guard let axis = x.layout.axis, from.contains(axis) else {
      try define(operation, [Operand("x", .value(x.value))], Layout(axis: x.layout.axis))
      return
    }
    let whole = source.values[old].axis(named: axis)?.size ?? 1
    var attributes = operation.attributes
    var layout = Layout()
    if axis == from.first, let first = to.first, let size = first.size, first.split == .tensor,
      whole % mesh.tp == 0, size % mesh.tp == 0
    {
      to[0] = first.resized(to: size / mesh.tp)
      attributes["to"] = .list(to.map { .text($0.description) })
      layout.axis = first.name
    } else {
      x = try form(old, .replicated)
    }
    try define(operation, [Operand("x", .value(x.value))], layout, attributes: attributes)
  }

  /// Attention sees all tokens of a data group's sequences, and a rank's own heads.
  private mutating func rewriteAttention(_ operation: Operation) throws(OpError) {
    let heads = operation.kind == .linearAttention ? "value" : "query"
    let lead = try form(try valueIndex(operation, heads), .whole)
    guard mesh.tp > 1, let axis = lead.layout.axis else {
      try rewriteAllTokens(operation)
      return
    }
    let splitRoles: Set<String> =
      operation.kind == .latentAttention
      ? ["query", "query_rope"] : ["query", "key", "value", "decay", "beta"]
    var operands: [Operand] = []
    var parts = 1
    for operand in operation.operands {
      switch operand.reference {
      case .value(let old):
        let isSplit = splitRoles.contains(operand.role)
        let made = try form(old, isSplit ? .whole : .replicated)
        if isSplit && made.layout.axis == nil {
          throw OpError(
            "'\(operand.role)' of attention is whole where '\(axis)' is split over tp \(mesh.tp); "
              + "take '--tp 1'")
        }
        if operand.role == "value" || (operand.role == "key" && operation.kind == .attention) {
          let size = source.values[old].axes.dropFirst().first?.size ?? 1
          parts = min(size, mesh.tp)
        }
        operands.append(Operand(operand.role, .value(made.value)))
      case .weight(let weight):
        let position = source.weights[weight].axes.firstIndex {
          isSplit($0, inExperts: false)
        }
        try split(weight, along: position)
        operands.append(operand)
      case .cache(let cache):
        operands.append(operand)
        try splitCache(cache)
      }
    }
    if case .cache(let cache)? = operation.operand("cache"), operation.kind != .latentAttention {
      cacheParts[cache] = parts
    }
    try define(operation, operands, Layout(axis: axis))
  }

  /// A rank keeps the part of each entry that belongs to its heads.
  private mutating func splitCache(_ cache: Int) throws(OpError) {
    for part in source.caches[cache].parts.indices {
      for (position, axis) in source.caches[cache].parts[part].enumerated()
      where isSplit(axis, inExperts: false) {
        result.caches[cache].parts[part][position] = axis.resized(to: try localSize(of: axis))
      }
    }
  }

  /// An operation that every tensor rank does whole, on all tokens.
  private mutating func rewriteAllTokens(_ operation: Operation) throws(OpError) {
    try define(operation, try formed(operation, .replicated), Layout())
  }

  private mutating func rewriteConvolution(_ operation: Operation) throws(OpError) {
    let old = try valueIndex(operation, "x")
    var x = try form(old, .whole)
    if x.layout.axis == nil { x = try form(old, .replicated) }
    var operands = [Operand("x", .value(x.value))]
    for role in ["weight", "bias"] {
      guard let weight = weightIndex(operation, role) else { continue }
      try split(
        weight, along: source.weights[weight].axes.firstIndex { $0.name == x.layout.axis })
      operands.append(Operand(role, .weight(weight)))
    }
    if case .cache(let cache)? = operation.operand("cache") {
      operands.append(Operand("cache", .cache(cache)))
      if x.layout.axis != nil {
        try splitCache(cache)
        let whole = source.values[old].axes.first { $0.name == x.layout.axis }?.size ?? 1
        cacheParts[cache] = min(whole, mesh.tp)
      }
    }
    try define(operation, operands, Layout(axis: x.layout.axis))
  }

  /// Each tensor rank gives the sampled ones of its own tokens, and nothing for the others: a sum.
  private mutating func rewriteSample(_ operation: Operation) throws(OpError) {
    let x = try form(try valueIndex(operation, "x"), .own)
    try define(operation, [Operand("x", .value(x.value))], Layout(isPartial: mesh.tp > 1))
  }

  private mutating func rewriteRoute(_ operation: Operation) throws(OpError) {
    // Where ranks hold whole experts, each routes its own tokens, unless an expert's capacity
    // counts those of whole sequences.
    let isCounted = operation.attributes["capacity_factor"] != nil
    let wish: Wish = mesh.tp > 1 && mesh.holdsWholeExperts && !isCounted ? .own : .replicated
    try define(operation, try formed(operation, wish), Layout())
  }

  private mutating func rewriteExchange(_ operation: Operation) throws(OpError) {
    let wish: Wish = mesh.tp > 1 && mesh.holdsWholeExperts ? .own : .replicated
    var operands: [Operand] = []
    var layout = Layout()
    var attributes = operation.attributes
    attributes["group"] = .text(Mesh.Group.expert.rawValue)
    attributes["algorithm"] = .text(algorithm)
    for operand in operation.operands {
      guard case .value(let old) = operand.reference else { continue }
      if operation.kind == .combine && operand.role == "x" {
        guard let x = values[old] else { throw OpError("'combine' reads nothing") }
        layout.isPartial = x.layout.isPartial
        operands.append(Operand("x", .value(x.value)))
      } else {
        operands.append(Operand(operand.role, .value(try form(old, wish).value)))
      }
    }
    if layout.isPartial && operation.operand("identity") != nil {
      attributes["identity_on"] = "first"
    }
    try define(operation, operands, layout, attributes: attributes)
  }
}
