internal import EPIR
internal import EPModel

/// How an operation's results lie on tensor ranks, given how what it reads does: the rules of
/// tensor parallelism, one for each operation.
struct SpreadRule {
  /// What stands in a role.
  struct Input {
    var role: String
    var spread: Spread
    var type: TensorType?

    init(_ role: String, _ spread: Spread, _ type: TensorType?) {
      self.role = role
      self.spread = spread
      self.type = type
    }
  }

  let operation: Operation
  let inputs: [Input]
  let mesh: Mesh

  private func input(_ role: String) -> Spread {
    inputs.first { $0.role == role }?.spread ?? Spread()
  }

  private func type(_ role: String) -> TensorType? { inputs.first { $0.role == role }?.type }

  private var axes: Set<String> { Set(inputs.compactMap(\.spread.axis)) }
  private var isRepeated: Bool { inputs.contains { $0.spread.isRepeated } }
  private var isPartial: Bool { inputs.contains { $0.spread.isPartial } }

  func outcome() throws(OpError) -> Spread {
    try checkFirstOnly()
    try checkSums()
    switch operation.kind {
    case .embed: return try embed()
    case .linear, .contract: return try contraction()
    case .allReduce: return Spread(axis: input("x").axis, isRepeated: input("x").isRepeated)
    case .reduceScatter:
      try require(
        operation.attributes.text("axis") == Axis.tokens.name, "scatters an axis that is not rows")
      return Spread(axis: input("x").axis)
    case .allGather: return try gather()
    case .reshape: return try reshape()
    case .slice, .concat, .softmax:
      try requireWhole([operation.attributes.text("axis")])
      return joined
    case .reduce: return try reduction()
    case .sampleRows:
      try requireWhole(Array(axes))
      return Spread(isPartial: type("x")?.rows == .ownTokens)
    case .sumSquares:
      let isPartial = !axes.isDisjoint(with: operation.attributes.texts("axes"))
      return isPartial ? Spread(isPartial: true) : joined
    case .norm:
      if operation.operand("squares") == nil {
        try requireWhole(operation.attributes.texts("axes"))
      }
      return input("x")
    case .rope:
      try requireWhole(type("x")?.axes.last.map { [$0.name] } ?? [])
      return input("x")
    case .attention: return try attention(lead: "query", split: ["key", "value", "sinks"], all: [])
    case .latentAttention:
      return try attention(
        lead: "query", split: ["query_rope", "kv_up"], all: ["latent", "key_rope"])
    case .linearAttention:
      return try attention(lead: "value", split: ["query", "key", "decay", "beta"], all: [])
    case .shortConvolution:
      try requireAllTokens()
      try require(axes.count <= 1, "joins parts of \(axes.sorted())")
      return input("x")
    case .index:
      try requireAllTokens()
      try requireWhole(Array(axes))
      return Spread()
    case .route, .dispatch:
      try requireWhole(Array(axes))
      return Spread()
    case .combine:
      try requireWhole(Array(axes))
      return Spread(isPartial: input("x").isPartial)
    case .custom:
      try requireWhole(Array(axes.subtracting(operation.attributes.texts("split"))))
      try require(axes.count <= 1, "joins parts of \(axes.sorted())")
      return joined
    case .unary, .binary, .affine, .glu, .positionScale, .scatterRows, .send, .receive:
      try require(axes.count <= 1, "joins parts of \(axes.sorted())")
      return joined
    }
  }

  private var joined: Spread {
    Spread(isPartial: isPartial, axis: axes.sorted().first, isRepeated: isRepeated)
  }

  private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(OpError) {
    if !condition { throw OpError(message()) }
  }

  private func requireWhole(_ names: [String]) throws(OpError) {
    try require(
      axes.isDisjoint(with: names), "runs along an axis of which ranks hold parts, of \(names)")
  }

  /// Sequences mix all tokens of a data group, so no rank may do it with its own ones alone.
  private func requireAllTokens() throws(OpError) {
    for input in inputs where mesh.tp > 1 && input.type?.rows == .ownTokens {
      throw OpError("sees a rank's own tokens alone in '\(input.role)'")
    }
  }

  /// What tensor rank 0 alone adds is added to partial sums, and to nothing else.
  private func checkFirstOnly() throws(OpError) {
    if operation.attributes["bias_on"] != nil {
      try require(
        operation.operand("bias") != nil && sums, "leaves its bias to tensor rank 0 for no sum")
    } else if operation.kind == .linear && sums {
      try require(operation.operand("bias") == nil, "adds the bias to each part of a sum")
    }
    let isSum = operation.kind == .combine && input("x").isPartial
    if operation.attributes["identity_on"] != nil {
      try require(
        operation.operand("identity") != nil && isSum,
        "leaves identity experts to tensor rank 0 for no sum")
    } else if isSum {
      try require(
        operation.operand("identity") == nil, "adds identity experts to each part of a sum")
    }
  }

  private var sums: Bool { !axes.isDisjoint(with: operation.attributes.texts("contract")) }

  /// Only what is linear may be done to the summands instead of the sum.
  private func checkSums() throws(OpError) {
    let partial = inputs.filter(\.spread.isPartial).map(\.role)
    switch operation.kind {
    case .allReduce, .reduceScatter:
      try require(!partial.isEmpty, "reduces what is no partial sum")
    case .reshape, .slice, .combine:
      try require(partial.isEmpty || partial == ["x"], "reads a partial sum")
    case .affine:
      try require(
        partial.isEmpty || operation.attributes.real("offset") == 0,
        "adds an offset to each part of a sum")
    default: try require(partial.isEmpty, "reads a partial sum")
    }
  }

  private func embed() throws(OpError) -> Spread {
    let axis = input("table").axis
    try require(
      axis == nil || axis == type("table")?.axes.first?.name,
      "looks up a table that is split along its width")
    return Spread(isPartial: axis != nil)
  }

  private func contraction() throws(OpError) -> Spread {
    let contract = Set(operation.attributes.texts("contract"))
    let kept = axes.subtracting(contract)
    try require(!(sums && !kept.isEmpty || kept.count > 1), "joins parts of \(axes.sorted())")
    try require(!(sums && isRepeated), "sums parts that several ranks hold")
    return sums ? Spread(isPartial: true) : Spread(axis: kept.first, isRepeated: isRepeated)
  }

  private func gather() throws(OpError) -> Spread {
    let gathered = operation.attributes.text("axis")
    let x = input("x")
    if gathered == Axis.ownTokens.name { return x }
    try require(x.axis == gathered, "gathers '\(gathered)', of which every rank holds all")
    try require(!x.isRepeated, "gathers parts that several ranks hold")
    return Spread()
  }

  private func reshape() throws(OpError) -> Spread {
    let from = operation.attributes.texts("from")
    var x = input("x")
    guard let axis = x.axis, from.contains(axis) else { return x }
    guard axis == from.first, !x.isRepeated, let to = operation.attributes.texts("to").first,
      let first = try? Axis(parsing: to)
    else { throw OpError("splits up the axis '\(axis)' of which ranks hold parts") }
    x.axis = first.name
    return x
  }

  private func reduction() throws(OpError) -> Spread {
    let reduced = operation.attributes.texts("axes")
    if axes.isDisjoint(with: reduced) { return joined }
    if operation.attributes.text("function") != "sum" { try requireWhole(reduced) }
    try require(!isRepeated, "sums parts that several ranks hold")
    return Spread(isPartial: true)
  }

  /// Heads go with their keys, values and weights; what all heads share is whole.
  private func attention(
    lead: String, split: [String], all: [String]
  ) throws(OpError) -> Spread {
    try requireAllTokens()
    for input in inputs {
      guard let type = input.type else { continue }
      let heads = input.type?.axes.first { !$0.isRows }?.name
      let isSplit = input.spread.axis != nil
      try require(
        !isSplit || input.spread.axis == heads, "takes '\(input.role)' in parts of \(type)")
      if split.contains(input.role) {
        try require(
          isSplit == (self.input(lead).axis != nil),
          "takes '\(input.role)' of other heads than '\(lead)'")
      }
      if all.contains(input.role) {
        try require(!isSplit, "takes '\(input.role)' in parts of \(type)")
      }
    }
    return input(lead)
  }
}
