internal import EPIR
internal import EPModel
internal import EPPlan

/// What one collective of a function sends.
struct Traffic: Hashable {
  /// The operation, as an index into its function.
  var operation: Int
  /// What it does.
  var kind: OpKind
  /// The ranks that meet.
  var group: String
  /// How many meet.
  var ranks: Int
  /// The All-to-All algorithm; empty for other collectives.
  var algorithm: String
  /// Bytes a rank sends in a step of the most tokens.
  ///
  /// All-to-All under even routing: own tokens x experts a token x bytes a row, the part that stays
  /// on the rank included. Gathers, scatters and reductions as in a ring: `(n - 1) / n` of the
  /// whole tensor, twice for `all_reduce`.
  var bytes: Int
}

extension ShardedFunction {
  /// Its collectives, in order. Those that stay on a rank are left out, and so is `receive`, the other
  /// end of a `send`.
  func traffic(in pool: Pool) -> [Traffic] {
    function.operations.indices.compactMap { index in
      let operation = function.operations[index]
      let group = operation.attributes.text("group")
      let ranks = Mesh.Group(rawValue: group).map(pool.mesh.size) ?? 1
      let algorithm = operation.attributes.text("algorithm")
      guard operation.kind.isCollective, operation.kind != .receive, algorithm != "local", ranks > 1
      else { return nil }
      return Traffic(
        operation: index, kind: operation.kind, group: group, ranks: ranks, algorithm: algorithm,
        bytes: Int(
          min(
            Double(pool.parts) * bytesSent(by: operation, ranks: ranks, in: pool), 0x1p50)))
    }
  }

  /// Bytes a rank sends for one micro-batch.
  private func bytesSent(by operation: Operation, ranks: Int, in pool: Pool) -> Double {
    func whole(_ value: Int?) -> Double {
      value.map { Double(pool.bufferBytes(of: $0, in: self)) } ?? 0
    }
    let read: Int? = operation.operands.lazy.compactMap {
      if case .value(let value) = $0.reference { return value } else { return nil }
    }.first
    let ring = Double(ranks - 1) / Double(ranks)
    let kind = operation.kind
    if kind == .allGather { return ring * whole(operation.results.first) }
    if kind == .reduceScatter { return ring * whole(read) }
    if kind == .allReduce { return 2 * ring * whole(read) }
    guard kind == .dispatch || kind == .combine, case .value(let x)? = operation.operand("x"),
      case .value(let indices)? = operation.operand("indices")
    else { return whole(read) }
    let format = Precision.Format(rawValue: operation.attributes.text("format"))
    let bits = (format ?? pool.activations).bitsPerElement
    let pairs =
      Double(pool.mostRows(of: function.values[indices], in: self))
      * expertsOfToken(indices: indices)
    return pairs * Double(function.values[x].elementsPerRow) * bits / 8
  }

  /// How many routed experts a token goes to on average, were all equally likely.
  private func expertsOfToken(indices: Int) -> Double {
    let topK = Double(function.values[indices].axes.last?.size ?? 1)
    guard let route = function.operations.first(where: { $0.results.contains(indices) }),
      route.kind == .route
    else { return topK }
    let experts = Double(route.attributes.int("experts", default: 1))
    return topK * experts / (experts + Double(route.attributes.int("identity_experts")))
  }
}
