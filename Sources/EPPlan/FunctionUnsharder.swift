internal import EPIR
internal import EPModel

/// Puts a function of ranks together again: the function of the model that it is a part of.
///
/// The inverse of sharding. Collectives are left out, weights, caches and values are whole, and
/// values are numbered in the order they are defined, so that one model has one whole form however
/// it was spread. A function that is not sharded is brought into that form too.
struct FunctionUnsharder {
  private let sharded: ShardedFunction
  private let mesh: Mesh
  private var definition: [Int: Int] = [:]
  /// The whole function.
  private(set) var whole: Function
  /// The value of `whole` that each value is a part of; nil for the sums of squares of a norm.
  private(set) var wholes: [Int?]

  init(_ sharded: ShardedFunction, mesh: Mesh) throws(OpError) {
    self.sharded = sharded
    self.mesh = mesh
    let function = sharded.function
    whole = Function(function.name)
    whole.caches = function.caches
    whole.weights = function.weights
    wholes = Array(repeating: nil, count: function.values.count)
    for (index, sharding) in sharded.sharding.enumerated() {
      whole.weights[index].axes = sharding.axes
    }
    for (number, operation) in function.operations.enumerated() {
      for result in operation.results { definition[result] = number }
    }
    for parameter in function.parameters {
      var type = function.values[parameter.value]
      if type.rows == .ownTokens { type.axes[0] = .tokens }
      wholes[parameter.value] = define(type)
      whole.parameters.append(Function.Port(parameter.name, whole.values.count - 1))
    }
    let inserted = try sumsForNorms()
    for (number, operation) in function.operations.enumerated() where !inserted.contains(number) {
      try restore(operation)
    }
    for result in function.results {
      whole.results.append(Function.Port(result.name, try value(result.value)))
    }
  }

  private mutating func define(_ type: TensorType) -> Int {
    whole.values.append(type)
    return whole.values.count - 1
  }

  private func value(_ part: Int) throws(OpError) -> Int {
    guard wholes.indices.contains(part), let value = wholes[part] else {
      throw OpError("%\(part) of '\(sharded.function.name)' is no part of a model's value")
    }
    return value
  }

  /// The operations that sum squares over ranks for a norm.
  private func sumsForNorms() throws(OpError) -> Set<Int> {
    var inserted: Set<Int> = []
    for operation in sharded.function.operations where operation.kind == .norm {
      guard let squares = operation.operand("squares") else { continue }
      let sum = try maker(of: squares, .allReduce)
      guard let total = sharded.function.operations[sum].operand("x") else { continue }
      inserted.formUnion([sum, try maker(of: total, .sumSquares)])
    }
    return inserted
  }

  private func maker(of reference: Reference, _ kind: OpKind) throws(OpError) -> Int {
    guard case .value(let value) = reference, let number = definition[value],
      sharded.function.operations[number].kind == kind
    else { throw OpError("'norm' takes sums of squares that no '\(kind.rawValue)' makes") }
    return number
  }

  private mutating func restore(_ operation: Operation) throws(OpError) {
    switch operation.kind {
    case .allReduce, .allGather, .reduceScatter, .scatterRows:
      guard case .value(let x)? = operation.operand("x"), let result = operation.results.first
      else { throw OpError("'\(operation.kind.rawValue)' reads nothing") }
      wholes[result] = try value(x)
      return
    case .send, .receive:
      throw OpError("'\(operation.kind.rawValue)' stands among other operations")
    default: break
    }
    var restored = operation
    restored.location = -1
    restored.attributes["group"] = nil
    restored.attributes["algorithm"] = nil
    restored.attributes["bias_on"] = nil
    restored.attributes["identity_on"] = nil
    if operation.kind == .norm, operation.operand("squares") != nil {
      try checkSquares(of: operation)
      restored.attributes["count"] = nil
      restored.operands.removeAll { $0.role == "squares" }
    }
    for index in restored.operands.indices {
      if case .value(let part) = restored.operands[index].reference {
        restored.operands[index].reference = .value(try value(part))
      }
    }
    if operation.kind == .reshape { widenReshape(&restored) }
    widenCache(of: restored)
    let types = try restored.inferResults(in: whole)
    if types.count != operation.results.count { throw OpError("results do not fit") }
    restored.results = types.map { define($0) }
    for (part, value) in zip(operation.results, restored.results) { wholes[part] = value }
    whole.operations.append(restored)
  }

  /// A norm over parts counts all elements, and counts those that several ranks hold once.
  private func checkSquares(of norm: Operation) throws(OpError) {
    guard let squares = norm.operand("squares") else { return }
    let reduced = sharded.function.operations[try maker(of: squares, .allReduce)]
    guard let total = reduced.operand("x") else { return }
    let sum = sharded.function.operations[try maker(of: total, .sumSquares)]
    guard case .value(let x)? = norm.operand("x"), sum.operand("x") == .value(x),
      sum.attributes["axes"] == norm.attributes["axes"]
    else { throw OpError("'norm' takes the squares of something else") }
    func elements(_ type: TensorType) -> Int {
      norm.attributes.texts("axes").reduce(1) {
        $0.saturatingProduct(type.axis(named: $1)?.size ?? 1)
      }
    }
    let count = elements(whole.values[try value(x)])
    let copies = elements(sharded.function.values[x]).saturatingProduct(mesh.tp) / max(count, 1)
    let factor = copies > 1 ? Attribute.real(1 / Double(copies)) : nil
    if norm.attributes.int("count") != count || sum.attributes["factor"] != factor {
      throw OpError("'norm' does not count its \(count) elements once each")
    }
  }

  /// A reshape of a part names the part's sizes; only the first axis is ever split.
  private func widenReshape(_ operation: inout Operation) {
    guard case .value(let x)? = operation.operand("x") else { return }
    var to = operation.attributes.texts("to").compactMap { try? Axis(parsing: $0) }
    let from = operation.attributes.texts("from").compactMap { whole.values[x].axis(named: $0) }
    let rest = TensorType(Array(to.dropFirst())).elementsPerRow
    let count = TensorType(from).elementsPerRow
    if to.isEmpty || rest == 0 || count % rest != 0 { return }
    to[0] = to[0].resized(to: count / rest)
    operation.attributes["to"] = .list(to.map { .text($0.description) })
  }

  private mutating func widenCache(of operation: Operation) {
    guard case .cache(let cache)? = operation.operand("cache") else { return }
    func axes(_ role: String) -> [Axis] {
      Array((operation.operand(role).flatMap { whole.type(of: $0) }?.axes ?? []).dropFirst())
    }
    var sizes: [[Int?]] = []
    switch operation.kind {
    case .attention: sizes = [axes("key").map(\.size), axes("value").map(\.size)]
    case .shortConvolution:
      sizes = [
        axes("x").map(\.size) + (whole.caches[cache].parts.first?.suffix(1).map(\.size) ?? [])
      ]
    case .linearAttention:
      sizes = [axes("value").map(\.size)]
      sizes[0].insert(contentsOf: axes("key").suffix(1).map(\.size), at: min(1, sizes[0].count))
    default: return
    }
    for (part, sizes) in sizes.enumerated() where whole.caches[cache].parts.indices.contains(part) {
      for (axis, size) in sizes.enumerated()
      where whole.caches[cache].parts[part].indices.contains(axis) {
        whole.caches[cache].parts[part][axis].size = size
      }
    }
  }
}
