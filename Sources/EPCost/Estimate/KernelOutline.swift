internal import EPIR
internal import EPModel
public import EPPlan

/// What a sharded function's kernels are made of, before a step is known: sizes are worked out once,
/// and steps only multiply them.
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
    var name: String
  }

  /// A kernel that reads values and writes others.
  struct Stream {
    var read: [Traffic]
    var written: [Traffic]
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
    var algorithm: String
    var experts: Int
    /// The route that it follows.
    var route: Operation?
  }

  /// How an operation becomes kernels.
  enum Item {
    case product(Product)
    case stream(Stream)
    case exchange(Exchange)
    /// By a rule that looks at the operation and the step.
    case other
  }

  /// An operation that becomes kernels of its own.
  final class Entry: Sendable {
    let operation: Int
    /// Whether that depends on where experts are and how tokens are routed.
    let isRouted: Bool
    let item: Item

    init(_ operation: Int, isRouted: Bool, _ item: Item) {
      (self.operation, self.isRouted, self.item) = (operation, isRouted, item)
    }
  }

  /// The operations that become kernels of their own, in order.
  let items: [Entry]
  /// The rows and choices that tokens are dispatched by; nil without experts.
  let dispatched: (rows: Rows, copies: Double)?

  /// Makes the outline of a function.
  public init(_ sharded: ShardedFunction) {
    let function = sharded.function
    var joined = Set<Int>()
    var items: [Entry] = []
    for index in function.operations.indices where !joined.contains(index) {
      guard let item = KernelOutline.item(index, of: function, &joined) else { continue }
      let operation = function.operations[index]
      let isRouted =
        operation.kind == .dispatch || operation.kind == .combine
        || operation.results.contains { function.values[$0].rows == .routed }
      items.append(Entry(index, isRouted: isRouted, item))
    }
    self.items = items
    dispatched =
      items.lazy.compactMap { item in
        guard case .exchange(let exchange) = item.item, !exchange.isCombine else { return nil }
        return (exchange.rows, Double(exchange.copies))
      }.first
  }

  private static func item(
    _ index: Int, of function: Function, _ joined: inout Set<Int>
  ) -> Item? {
    let operation = function.operations[index]
    switch operation.kind {
    case .linear: return product(index, of: function, &joined).map { .product($0) }
    case .dispatch, .combine: return exchange(operation, of: function).map { .exchange($0) }
    case .slice, .concat, .reshape, .scatterRows, .receive, .affine: return nil
    case .binary: return stream(operation, of: function, launches: 0).map { .stream($0) }
    case .contract, .unary, .positionScale, .glu, .norm, .sumSquares, .softmax, .reduce, .rope,
      .shortConvolution, .route, .embed, .sampleRows:
      return stream(operation, of: function, launches: 1).map { .stream($0) }
    case .attention, .latentAttention, .index, .linearAttention, .allReduce, .allGather,
      .reduceScatter, .send, .custom:
      return .other
    }
  }

  /// What an operation reads and writes; nil for what has no rows.
  private static func stream(
    _ operation: Operation, of function: Function, launches: Double
  ) -> Stream? {
    let written = operation.results.map { function.values[$0] }
    if written.allSatisfy({ $0.rows == nil }) { return nil }
    var read: [Traffic] = []
    for case .value(let value) in operation.operands.map(\.reference) {
      read.append(Traffic(function.values[value]))
    }
    let made = written.map { Traffic($0) }
    return Stream(
      read: operation.kind == .embed ? made : read, written: made, launches: launches,
      // The addition's sum is still at hand when the norm reads it.
      readShare: operation.kind == .binary ? 0.5 : 1,
      isExperts: operation.kind == .glu && written[0].rows == .routed)
  }

  /// Products of the same input with weights of the same kind are one product.
  private static func product(
    _ index: Int, of function: Function, _ joined: inout Set<Int>
  ) -> Product? {
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
    return Product(
      input: Traffic(type), role: role, n: n, k: sizes(operation.attributes.texts("contract")),
      batch: sizes(operation.attributes.texts("batch")),
      isExperts: function.weights[first].axes.first?.split == .expert, quantizing: quantizing,
      name: names.joined(separator: "+"))
  }

  private static func exchange(_ operation: Operation, of function: Function) -> Exchange? {
    guard case .value(let indices)? = operation.operand("indices"),
      case .value(let x)? = operation.operand("x")
    else { return nil }
    let type = function.values[indices]
    // Where the route that it follows limits groups.
    let routes = function.operations.filter { $0.kind == .route }
    return Exchange(
      isCombine: operation.kind == .combine, rows: Rows(type), copies: type.elementsPerRow,
      hidden: Double(function.values[x].elementsPerRow),
      algorithm: operation.attributes.text("algorithm"),
      experts: max(operation.attributes.int("experts"), 1),
      route: routes.first { $0.results.contains(indices) } ?? routes.first)
  }
}
