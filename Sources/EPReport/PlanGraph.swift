internal import EPIR
internal import EPModel
public import EPPlan

/// The data flow of one function of a plan, as a picture.
public struct PlanGraph: Sendable {
  /// An operation, or an input or output of the function.
  struct Node: Sendable {
    /// The operation's number; nil for inputs and outputs.
    var operation: Int?
    /// What it does.
    var title: String
    /// With which sizes.
    var detail: String
    /// What it waits for beyond what it reads; empty if nothing.
    var note: String
    /// How it is shown.
    var family: OpFamily
    /// The stream it runs on.
    var stream: ShardedFunction.Stream
    /// The modules it belongs to, outermost first.
    var scope: [String]
    /// The values it defines.
    var results: [Int]
  }

  /// A value on its way from the node that defines it to one that reads it.
  struct Edge: Hashable, Sendable {
    /// The defining node.
    var from: Int
    /// The reading node.
    var to: Int
    /// The value.
    var value: Int
    /// The role it is read in.
    var role: String
  }

  /// What the picture is of.
  let title: String
  /// Mesh and load.
  let subtitle: String
  /// Inputs, operations and outputs, each after what it reads.
  let nodes: [Node]
  /// The data flow, in the order of readers.
  let edges: [Edge]
  /// The types of values.
  let types: [TensorType]

  /// The graph of a function of a pool of a verified plan; without a name, of the function that most
  /// layers call. Nil where there is no such pool or function.
  public init?(_ plan: Plan, pool poolIndex: Int = 0, function name: String? = nil) {
    guard plan.pools.indices.contains(poolIndex) else { return nil }
    let pool = plan.pools[poolIndex]
    let calls = PoolSummary(pool: pool).layerCalls
    let most = calls.map(\.layers.count).max() ?? 0
    let main = calls.first { $0.layers.count == most }?.function ?? 0
    let found =
      name.map { name in pool.functions.firstIndex { $0.function.name == name } } ?? main
    guard let index = found, pool.functions.indices.contains(index) else { return nil }
    let layers = (pool.stages.joined() + pool.drafts).filter { $0.function == index }
      .flatMap(\.layers).sorted()
    let sharded = pool.functions[index]
    title = Escaping.shortened(
      Escaping.printable(
        "\(plan.model.name), \(pool.role.rawValue): \(sharded.function.name)"
          + (layers.isEmpty ? "" : ", layer\(layers.count == 1 ? "" : "s") \(Units.runs(layers))")),
      to: 100)
    subtitle =
      "one of \(pool.mesh.ranks) ranks: pp \(pool.mesh.pp), dp \(pool.mesh.dp), tp \(pool.mesh.tp), "
      + "ep \(pool.mesh.ep); at most \(pool.load.tokens) tokens a step"
    types = sharded.function.values
    (nodes, edges) = PlanGraph.flow(of: sharded, in: pool, precision: plan.model.precision)
  }

  private static func flow(
    of sharded: ShardedFunction, in pool: Pool, precision: Precision
  ) -> ([Node], [Edge]) {
    let function = sharded.function
    var nodes: [Node] = []
    var edges: [Edge] = []
    var maker: [Int: Int] = [:]
    func port(_ name: String, _ detail: String, _ results: [Int]) -> Node {
      Node(
        operation: nil, title: Escaping.shortened(Escaping.printable(name), to: 30),
        detail: detail, note: "", family: .port, stream: .compute, scope: [], results: results)
    }
    for parameter in function.parameters {
      maker[parameter.value] = nodes.count
      nodes.append(port(parameter.name, "input", [parameter.value]))
    }
    var traffic: [Int: Traffic] = [:]
    for one in sharded.traffic(in: pool) { traffic[one.operation] = one }
    for (number, operation) in function.operations.enumerated() {
      let label = OpLabel(
        operation, in: sharded, precision: precision, traffic: traffic[number])
      var read: Set<Int> = []
      for operand in operation.operands {
        guard case .value(let value) = operand.reference, let from = maker[value] else { continue }
        if let source = nodes[from].operation { read.insert(source) }
        edges.append(Edge(from: from, to: nodes.count, value: value, role: operand.role))
      }
      let waits =
        sharded.waits.indices.contains(number)
        ? sharded.waits[number].filter { !read.contains($0) } : []
      nodes.append(
        Node(
          operation: number, title: label.title, detail: label.detail,
          note: waits.isEmpty ? "" : "waits for \(Units.runs(waits, most: 4))",
          family: OpFamily(operation.kind),
          stream: sharded.streams.indices.contains(number) ? sharded.streams[number] : .compute,
          scope: operation.scope.split(separator: ".").filter { !$0.contains("{") }.prefix(4)
            .map(String.init),
          results: operation.results))
      for result in operation.results { maker[result] = nodes.count - 1 }
    }
    for result in function.results {
      guard let from = maker[result.value] else { continue }
      edges.append(Edge(from: from, to: nodes.count, value: result.value, role: result.name))
      nodes.append(port(result.name, "output", []))
    }
    return (nodes, edges)
  }
}
