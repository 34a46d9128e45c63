internal import EPIR
internal import EPModel
public import EPPlan

/// What a sharded function's kernels are made of, before a step is known: sizes are worked out once,
/// and steps only multiply them.
///
/// Searches plan kernels a hundred thousand times: what they read of an outline holds no references.
public final class KernelOutline: Sendable {
  /// What rows of a value there are as many as.
  enum Rows {
    case one, sampled, tokens, ownTokens, routed

    init(_ type: TensorType) {
      switch type.rows {
      case nil: self = .one
      case .sampled?: self = .sampled
      case .tokens?: self = .tokens
      case .ownTokens?: self = .ownTokens
      default: self = .routed
      }
    }
  }

  /// A value that is read or written.
  struct Traffic {
    var rows: Rows
    var elementsPerRow: Double
    var element: TensorType.Element

    init(_ type: TensorType) {
      rows = Rows(type)
      elementsPerRow = Double(type.elementsPerRow)
      element = type.element
    }
  }

  /// Products of one input with weights of one kind: one kernel.
  struct Product {
    var input: Traffic
    var role: WeightDeclaration.Role
    var n: Double
    var k: Double
    /// Weights that are multiplied side by side, each with its part of the input.
    var batch: Double
    var isExperts: Bool
    /// How many kernels quantise the input, where the format asks for that; nil where what makes the
    /// input does it.
    var quantizing: Double?
  }

  /// A kernel that reads values and writes others, which lie side by side in `traffic`.
  struct Stream {
    var read: Range<Int>
    var written: Range<Int>
    var launches: Double
    /// The share of what is read that is not at hand anyway.
    var readShare: Double
    var isExperts: Bool
  }

  /// Dispatch or combine.
  struct Exchange {
    var isCombine: Bool
    var rows: Rows
    var copies: Int
    var hidden: Double
    var algorithm: Algorithm
    var experts: Int
    /// The groups that its route limits, and how many a token keeps; 0 where it does not.
    var groups: Int
    var keptGroups: Int
  }

  /// The kernels that an exchange asks for.
  enum Algorithm {
    case lowLatency, hierarchical
    /// Those that the pool takes.
    case any

    init(_ text: String) {
      switch text {
      case "low_latency": self = .lowLatency
      case "hierarchical": self = .hierarchical
      default: self = .any
      }
    }
  }

  /// An attention, by what it reads.
  struct Attention {
    var kind: OpKind
    /// Query heads, and elements of each.
    var heads = 0.0
    var querySize = 0.0
    /// Heads of keys, and elements of a key and of a value.
    var keyHeads = 0.0
    var keySize = 0.0
    var valueSize = 0.0
    /// Elements that positions turn, and of the latent.
    var rope = 0.0
    var latent = 0.0
    /// The most tokens that a row attends to: a window or chunk, and of those selected.
    var limit = Double.infinity
    var selected = Double.infinity
  }

  /// A collective of all ranks of a group.
  struct Collective {
    var form: Kernel.Collective.Form
    var group: Mesh.Group
    var whole: Traffic
  }

  /// How an operation becomes kernels.
  enum Item {
    case product(Product)
    case stream(Stream)
    case exchange(Exchange)
    case attention(Attention)
    case collective(Collective)
    /// By a rule that looks at the operation.
    case custom
  }

  /// An operation that becomes kernels of its own.
  struct Entry {
    let operation: Int
    /// Whether that depends on where experts are and how tokens are routed.
    let isRouted: Bool
    /// Whether it runs on the communication stream.
    let isCollective: Bool
    let item: Item
  }

  /// The operations that become kernels of their own, in order.
  let items: [Entry]
  /// Those that depend on experts' places, and those that do not.
  let routed: [Entry]
  let local: [Entry]
  /// What streams read and write.
  let traffic: [Traffic]
  /// What products are called, by operation.
  let names: [Int: String]
  /// The rows and choices that tokens are dispatched by; nil without experts.
  let dispatched: (rows: Rows, copies: Double)?

  /// Makes the outline of a function.
  public init(_ sharded: ShardedFunction) {
    let function = sharded.function
    var maker = Maker(function: function)
    var items: [Entry] = []
    for index in function.operations.indices where !maker.joined.contains(index) {
      guard let item = maker.item(index) else { continue }
      let operation = function.operations[index]
      let isRouted =
        operation.kind == .dispatch || operation.kind == .combine
        || operation.results.contains { function.values[$0].rows == .routed }
      items.append(
        Entry(
          operation: index, isRouted: isRouted, isCollective: operation.kind.isCollective,
          item: item))
    }
    self.items = items
    (routed, local) = (items.filter(\.isRouted), items.filter { !$0.isRouted })
    (traffic, names) = (maker.traffic, maker.names)
    dispatched =
      items.lazy.compactMap { item in
        guard case .exchange(let exchange) = item.item, !exchange.isCombine else { return nil }
        return (exchange.rows, Double(exchange.copies))
      }.first
  }
}

/// Makes the items of an outline, operation by operation.
private struct Maker {
  typealias Traffic = KernelOutline.Traffic

  let function: Function
  /// Operations that the kernel of another one computes.
  var joined = Set<Int>()
  var traffic: [Traffic] = []
  var names: [Int: String] = [:]

  init(function: Function) { self.function = function }

  mutating func item(_ index: Int) -> KernelOutline.Item? {
    let operation = function.operations[index]
    switch operation.kind {
    case .linear: return product(index).map { .product($0) }
    case .dispatch, .combine: return exchange(operation).map { .exchange($0) }
    case .slice, .concat, .reshape, .scatterRows, .receive, .affine: return nil
    case .binary: return stream(operation, launches: 0).map { .stream($0) }
    case .contract, .unary, .positionScale, .glu, .norm, .sumSquares, .softmax, .reduce, .rope,
      .shortConvolution, .route, .embed, .sampleRows:
      return stream(operation, launches: 1).map { .stream($0) }
    case .attention, .latentAttention, .index, .linearAttention:
      return attention(operation).map { .attention($0) }
    case .allReduce, .allGather, .reduceScatter, .send:
      return collective(operation).map { .collective($0) }
    case .custom: return .custom
    }
  }

  /// What an operation reads and writes; nil for what has no rows.
  private mutating func stream(
    _ operation: Operation, launches: Double
  ) -> KernelOutline.Stream? {
    let written = operation.results.map { function.values[$0] }
    if written.allSatisfy({ $0.rows == nil }) { return nil }
    let first = traffic.count
    for case .value(let value) in operation.operands.map(\.reference)
    where operation.kind != .embed {
      traffic.append(Traffic(function.values[value]))
    }
    let last = traffic.count
    traffic += written.map { Traffic($0) }
    return KernelOutline.Stream(
      // What a token's row of the table is, its result is.
      read: operation.kind == .embed ? last..<traffic.count : first..<last,
      written: last..<traffic.count, launches: launches,
      // The addition's sum is still at hand when the norm reads it.
      readShare: operation.kind == .binary ? 0.5 : 1,
      isExperts: operation.kind == .glu && written[0].rows == .routed)
  }

  /// Products of the same input with weights of the same kind are one product.
  private mutating func product(_ index: Int) -> KernelOutline.Product? {
    let operation = function.operations[index]
    guard case .weight(let first)? = operation.operand("weight"),
      case .value(let x)? = operation.operand("x")
    else { return nil }
    let role = function.weights[first].role
    var n = 0.0
    var names: [String] = []
    for other in index..<function.operations.count where !joined.contains(other) {
      let candidate = function.operations[other]
      guard candidate.kind == .linear, candidate.operand("x") == operation.operand("x"),
        candidate.attributes["contract"] == operation.attributes["contract"],
        candidate.attributes["batch"] == operation.attributes["batch"],
        case .weight(let weight)? = candidate.operand("weight"),
        function.weights[weight].role == role
      else { continue }
      joined.insert(other)
      let batch = candidate.attributes.texts("batch")
      n += function.values[candidate.results[0]].axes.reduce(1) {
        $0 * (batch.contains($1.name) ? 1 : Double($1.size ?? 1))
      }
      // `gate_proj` of `model.layers.{layer}.mlp.gate_proj.weight`.
      let path = function.weights[weight].name.split(separator: ".")
      names.append(String(path.count > 1 ? path[path.count - 2] : path.last ?? ""))
    }
    let type = function.values[x]
    let sizes = { (names: [String]) in
      names.reduce(1.0) { $0 * Double(type.axis(named: $1)?.size ?? 1) }
    }
    // Activations are quantised after a norm or a gate by the same kernel, after a dispatch by the
    // sender.
    let producer = function.operations.first { $0.results.contains(x) }?.kind
    let quantizing: Double? =
      producer == .dispatch || producer == .glu ? nil : producer == .norm ? 0 : 1
    self.names[index] = names.joined(separator: "+")
    return KernelOutline.Product(
      input: Traffic(type), role: role, n: n, k: sizes(operation.attributes.texts("contract")),
      batch: sizes(operation.attributes.texts("batch")),
      isExperts: function.weights[first].axes.first?.split == .expert, quantizing: quantizing)
  }

  private func exchange(_ operation: Operation) -> KernelOutline.Exchange? {
    guard case .value(let indices)? = operation.operand("indices"),
      case .value(let x)? = operation.operand("x")
    else { return nil }
    let type = function.values[indices]
    // Where the route that it follows limits groups.
    let routes = function.operations.filter { $0.kind == .route }
    let route = routes.first { $0.results.contains(indices) } ?? routes.first
    return KernelOutline.Exchange(
      isCombine: operation.kind == .combine, rows: KernelOutline.Rows(type),
      copies: type.elementsPerRow, hidden: Double(function.values[x].elementsPerRow),
      algorithm: KernelOutline.Algorithm(operation.attributes.text("algorithm")),
      experts: max(operation.attributes.int("experts"), 1),
      groups: route?.attributes.int("groups") ?? 0,
      keptGroups: route?.attributes.int("groups_kept") ?? 0)
  }

  private func axes(_ operation: Operation, _ role: String) -> [Double] {
    guard case .value(let value)? = operation.operand(role) else { return [] }
    return function.values[value].axes.compactMap { $0.size.map(Double.init) }
  }

  /// Nil where operands have no sizes.
  private func attention(_ operation: Operation) -> KernelOutline.Attention? {
    var made = KernelOutline.Attention(kind: operation.kind)
    for name in ["window", "chunk"] {
      let limit = operation.attributes.int(name)
      if limit > 0 { made.limit = min(made.limit, Double(limit)) }
    }
    if let selected = axes(operation, "selection").first { made.selected = selected }
    let (query, key) = (axes(operation, "query"), axes(operation, "key"))
    let value = axes(operation, "value")
    if operation.kind != .linearAttention {
      if query.count != 2 { return nil }
      (made.heads, made.querySize) = (query[0], query[1])
    }
    switch operation.kind {
    case .latentAttention:
      guard let rope = axes(operation, "query_rope").last,
        let latent = axes(operation, "latent").first
      else { return nil }
      (made.rope, made.latent) = (rope, latent)
      made.valueSize = Double(operation.attributes.int("value_size"))
    case .attention:
      guard key.count == 2, let size = value.last else { return nil }
      (made.keyHeads, made.keySize, made.valueSize) = (key[0], key[1], size)
    case .linearAttention:
      if key.count != 2 || value.count != 2 { return nil }
      (made.keyHeads, made.keySize) = (key[0], key[1])
      (made.heads, made.valueSize) = (value[0], value[1])
    default: break
    }
    return made
  }

  private func collective(_ operation: Operation) -> KernelOutline.Collective? {
    guard case .value(let x)? = operation.operand("x"),
      let group = Mesh.Group(rawValue: operation.attributes.text("group"))
    else { return nil }
    let form: Kernel.Collective.Form =
      switch operation.kind {
      case .allReduce: .allReduce
      case .allGather: .allGather
      case .reduceScatter: .reduceScatter
      default: .pointToPoint
      }
    return KernelOutline.Collective(
      form: form, group: group, whole: Traffic(function.values[x]))
  }
}
