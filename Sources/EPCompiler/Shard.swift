internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Gives every rank its part of each function.
  ///
  /// Between operations the tokens of a data group are split over its tensor ranks; heads,
  /// feed-forwards and the vocabulary are split where an operation's weight has such an axis, and
  /// collectives come in where one form must become the other.
  @Sendable static func shard(_ compilation: inout Compilation) throws(Diagnostics) {
    for index in compilation.pools.indices {
      let pool = compilation.pools[index]
      for (number, function) in compilation.program.functions.enumerated() {
        let placement = pool.placements.first { $0.function == number }
        var sharder = FunctionSharder(
          function, mesh: pool.mesh, slotsPerRank: placement?.slotsPerRank ?? 0,
          algorithm: algorithm(for: pool, compilation.request.pools[index]),
          scoresAllTokens: FunctionSharder.scoresAllTokens(pool.role, pool.mesh))
        do {
          var sharded = try sharder.run()
          sharded.routedCapacity = routedCapacity(
            of: sharded, pool, placement, factor: compilation.request.capacityFactor)
          compilation.pools[index].functions.append(sharded)
        } catch {
          let place = sharder.location.flatMap { compilation.program.locations[safe: $0] }
          throw Diagnostics("shard", error.description, at: place.map { "\($0)" } ?? "")
        }
      }
      compilation.pools[index].stages = [compilation.program.calls]
      compilation.pools[index].drafts = compilation.program.drafts
    }
  }

  /// Decoding sends few tokens and wants latency; prefill sends many and wants bandwidth.
  private static func algorithm(for pool: Pool, _ request: CompileRequest.PoolRequest) -> String {
    if pool.mesh.ep == 1 { return "local" }
    if request.gathersTokens { return "all_gather" }
    return request.usesLowLatency ?? (pool.role == .decode) ? "low_latency" : "normal"
  }

  /// Rows a rank must have room for: a multiple of an even share, at most all that can come, and
  /// all that can come where that is little.
  static func routedCapacity(
    of function: ShardedFunction, _ pool: Pool, _ placement: ExpertPlacement?, factor: Double
  ) -> Int {
    guard let placement,
      let dispatch = function.function.operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices")
    else { return 0 }
    let topK = function.function.values[indices].axes.last?.size ?? 1
    let even = pool.leastRoutedCapacity(topK: topK, slotsPerRank: placement.slotsPerRank)
    // Where ranks have unequal slots, the share of one with the most.
    let share =
      placement.hasEmptySlots
      ? even.saturatingProduct(placement.slots.count) / placement.experts : even
    let sources = pool.mostRows(of: function.function.values[indices], in: function)
    let most = sources.saturatingProduct(pool.mesh.ep)
      .saturatingProduct(min(topK, placement.slotsPerRank))
    if most <= 16_384 { return most }
    return min(most, max(Int(saturating: (Double(share) * factor).rounded(.up)), share))
  }
}

extension Array {
  subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

/// Rewrites one function for the ranks of a mesh.
struct FunctionSharder {
  /// How a value lies on the tensor ranks of a data group.
  struct Layout: Hashable {
    /// Its rows: all tokens on every rank, each rank's own ones, or rows routed to the rank.
    var rows: Axis?
    /// The axis of which each rank holds a part.
    var axis: String?
    /// Whether each rank holds a summand.
    var isPartial = false
  }

  /// A form that an operation asks for.
  enum Wish {
    /// Any form but a partial sum, which becomes each rank's own tokens.
    case whole
    /// All tokens, all elements.
    case replicated
    /// Each rank's own tokens, all elements.
    case own
  }

  let source: Function
  let mesh: Mesh
  let slotsPerRank: Int
  let algorithm: String
  /// Whether routers score all tokens on every tensor rank.
  let scoresAllTokens: Bool
  /// The location of the operation being rewritten.
  private(set) var location: Int?
  var result: Function
  var sharding: [WeightSharding] = []
  var cacheParts: [Int] = []
  /// The new value and form of each old value.
  var values: [Int: (value: Int, layout: Layout)] = [:]
  /// Conversions done already, by new value and wish.
  private var converted: [Conversion: (value: Int, layout: Layout)] = [:]
  private var scope = ""

  private struct Conversion: Hashable {
    var value: Int
    var step: String
  }

  init(
    _ source: Function, mesh: Mesh, slotsPerRank: Int, algorithm: String, scoresAllTokens: Bool
  ) {
    self.source = source
    self.mesh = mesh
    self.slotsPerRank = slotsPerRank
    self.algorithm = algorithm
    self.scoresAllTokens = scoresAllTokens
    result = Function(source.name)
    result.weights = source.weights
    result.caches = source.caches
    sharding = source.weights.map { WeightSharding(axes: $0.axes) }
    cacheParts = source.caches.map { _ in 1 }
  }

  /// Whether routers of such pools score all tokens on every tensor rank. Those that hold parts of experts
  /// gather the tokens anyhow, so that takes no exchange for the scores; where tokens are many the product
  /// costs more than that.
  static func scoresAllTokens(_ role: Pool.Role, _ mesh: Mesh) -> Bool {
    role == .decode && !mesh.holdsWholeExperts
  }

  mutating func run() throws(OpError) -> ShardedFunction {
    for index in result.weights.indices where result.weights[index].axes.first?.split == .expert {
      sharding[index].expertAxis = 0
      result.weights[index].axes[0] = result.weights[index].axes[0].resized(to: slotsPerRank)
    }
    for parameter in source.parameters { addParameter(parameter) }
    for operation in source.operations {
      location = operation.location >= 0 ? operation.location : nil
      scope = operation.scope
      try rewrite(operation)
    }
    for port in source.results {
      let wish: Wish = port.name == "logits" ? .replicated : .own
      let made = try form(port.value, wish)
      result.results.append(Function.Port(port.name, made.value))
    }
    return ShardedFunction(
      result.withoutDeadOperations(), sharding: sharding, cacheParts: cacheParts)
  }

  private mutating func addParameter(_ parameter: Function.Port) {
    var type = source.values[parameter.value]
    // Tokens are known to all tensor ranks, hidden states only to those that keep them.
    if mesh.tp > 1 && type.rows == .tokens && type.element == .real { type.axes[0] = .ownTokens }
    result.values.append(type)
    let value = result.values.count - 1
    result.parameters.append(Function.Port(parameter.name, value))
    values[parameter.value] = (value, Layout(rows: type.rows))
  }

  // MARK: Emitting

  /// Appends an operation and returns the values it defines.
  mutating func emit(
    _ kind: OpKind, _ operands: [Operand], _ attributes: Attributes = Attributes()
  ) throws(OpError) -> [Int] {
    var operation = Operation(
      kind, operands, attributes: attributes,
      results: Array(0..<kind.specification.resultCount), scope: scope, location: location ?? -1)
    let types = try operation.inferResults(in: result)
    operation.results = types.map { type in
      result.values.append(type)
      return result.values.count - 1
    }
    result.operations.append(operation)
    return operation.results
  }

  /// An old value in the form wished for.
  mutating func form(_ old: Int, _ wish: Wish) throws(OpError) -> (value: Int, layout: Layout) {
    guard var current = values[old] else { throw OpError("%\(old) is not defined") }
    if mesh.tp == 1 { return current }
    if current.layout.isPartial {
      // The cheapest way to whole rows leaves each rank with its own tokens.
      let isScattered = wish != .replicated && current.layout.rows == .tokens
      current =
        isScattered
        ? try convert(current, "reduce_scatter") : try convert(current, "all_reduce")
    }
    if wish == .whole || current.layout.rows == .routed { return current }
    if let axis = current.layout.axis {
      let size = source.values[old].axis(named: axis)?.size ?? 1
      if size % mesh.tp != 0 {
        throw OpError(
          "\(size) \(axis) are held by several of tp \(mesh.tp) ranks each, and are needed whole; "
            + "take '--tp \((1...mesh.tp).last { size % $0 == 0 && mesh.tp % $0 == 0 } ?? 1)'")
      }
      current = try convert(current, "all_gather:\(axis)")
    }
    if wish == .replicated && current.layout.rows == .ownTokens {
      current = try convert(current, "all_gather:\(Axis.ownTokens.name)")
    }
    if wish == .own && current.layout.rows == .tokens {
      current = try convert(current, "scatter_rows")
    }
    return current
  }

  private mutating func convert(
    _ current: (value: Int, layout: Layout), _ step: String
  ) throws(OpError) -> (value: Int, layout: Layout) {
    let key = Conversion(value: current.value, step: step)
    if let done = converted[key] { return done }
    let x = [Operand("x", .value(current.value))]
    let group = Attribute.text(Mesh.Group.tensor.rawValue)
    var layout = current.layout
    let made: Int
    switch step {
    case "reduce_scatter":
      made = try emit(
        .reduceScatter, x,
        Attributes(["group": group, "axis": .text(Axis.tokens.name), "parts": .int(mesh.tp)]))[0]
      layout = Layout(rows: .ownTokens)
    case "all_reduce":
      made = try emit(.allReduce, x, Attributes(["group": group]))[0]
      layout.isPartial = false
    case "scatter_rows":
      made = try emit(.scatterRows, x, Attributes(["group": group]))[0]
      layout.rows = .ownTokens
    default:
      let axis = String(step.dropFirst("all_gather:".count))
      made = try emit(
        .allGather, x, Attributes(["group": group, "axis": .text(axis), "parts": .int(mesh.tp)]))[0]
      if axis == Axis.ownTokens.name { layout.rows = .tokens } else { layout.axis = nil }
    }
    converted[key] = (made, layout)
    return (made, layout)
  }

  // MARK: Splitting

  /// Splits a weight along an axis over the tensor ranks; the same weight is always split alike.
  mutating func split(_ weight: Int, along axis: Int?) throws(OpError) {
    if mesh.tp == 1 { return }
    let declaration = source.weights[weight]
    guard let axis else {
      if sharding[weight].tensorAxis != nil {
        throw OpError("weight '\(declaration.name)' is used both split and whole")
      }
      return
    }
    if let earlier = sharding[weight].tensorAxis, earlier != axis {
      throw OpError("weight '\(declaration.name)' is split along two axes")
    }
    let whole = declaration.axes[axis]
    result.weights[weight].axes[axis] = whole.resized(to: try localSize(of: whole))
    sharding[weight].tensorAxis = axis
  }

  /// The size of a rank's part of an axis.
  func localSize(of axis: Axis) throws(OpError) -> Int {
    let size = axis.size ?? 0
    if let part = WeightSharding.part(of: size, over: mesh.tp, at: 0),
      size % mesh.tp == 0 || axis.name == "kv_heads"
    {
      return part.count
    }
    let divisors = (1...max(mesh.tp, 1)).filter { size % $0 == 0 }
    throw OpError(
      "\(size) \(axis.name) cannot be split evenly over tp \(mesh.tp); take '--tp "
        + "\(divisors.last ?? 1)'")
  }

  /// Whether an axis is one that tensor ranks split in this mesh.
  func isSplit(_ axis: Axis, inExperts: Bool) -> Bool {
    if mesh.tp == 1 || axis.split != .tensor { return false }
    // Ranks that hold whole experts also hold whole shared ones: no collective is worth less.
    if mesh.holdsWholeExperts && mesh.ep > 1 && (inExperts || axis.name == "shared_intermediate") {
      return false
    }
    if inExperts { return !mesh.holdsWholeExperts }
    // A vocabulary that does not come out even is held whole.
    return axis.name != "vocabulary" || (axis.size ?? 0) % mesh.tp == 0
  }
}
