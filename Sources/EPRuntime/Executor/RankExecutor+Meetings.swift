internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

// Operations in which ranks meet: what a rank brings, and what it does with what it gets.
extension RankExecutor {
  func members(_ operation: Operation) -> (group: Mesh.Group, ranks: [Int]) {
    let group = Mesh.Group(rawValue: operation.attributes.text("group")) ?? .expert
    return (group, program.groups[group] ?? [program.rank])
  }

  /// The request of an operation, or nil where it needs nobody.
  func meet(
    _ operation: Operation, _ number: Int, _ arguments: OpArguments
  ) throws(ExecutionError) -> Request? {
    let function = variants[call.function].function.function
    func type(_ role: String) -> TensorType {
      operation.operand(role).flatMap { function.type(of: $0) } ?? TensorType([])
    }
    switch operation.kind {
    case .scatterRows:
      let width = type("x").elementsPerRow
      if let x = arguments.operands[0] {
        arguments.results[0].copy(
          from: x.elements(from: step.own.lowerBound * width, count: step.own.count * width))
      }
      advance()
      return nil
    case .sampleRows:
      sample(type("x"), arguments)
      advance()
      return nil
    case .allReduce: return reduce(operation, type("x"), arguments)
    case .reduceScatter: return reduceScatter(operation, type("x"), arguments)
    case .allGather: return gather(operation, type("x"), arguments)
    case .dispatch: return try dispatch(operation, number, type("indices"), arguments)
    case .combine: return try combine(operation, number, type("x"), arguments)
    case .send:
      pending = .advance
      let ranks = members(operation).ranks
      let next = ranks[min(program.coordinates.stage + 1, ranks.count - 1)]
      return arguments.operands[0].map { .send(to: next, filled($0, type("x"))) }
    case .receive:
      pending = .advance
      let previous = members(operation).ranks[max(program.coordinates.stage - 1, 0)]
      let result = function.values[operation.results[0]]
      return .receive(from: previous, filled(arguments.results[0], result))
    default: preconditionFailure("'\(operation.kind.rawValue)' needs no other ranks")
    }
  }

  /// Does what waits for the request handed out; some operations then need another.
  func finishPending() throws(ExecutionError) -> Request? {
    switch pending {
    case .nothing: return nil
    case .advance: break
    case .sum(let x, let blocks, let count, let result):
      device.sum(x, blocks: blocks, count: count, to: result)
    case .interleave(let x, let parts, let count, let outer, let result):
      for part in 0..<parts {
        let from = x.elements(from: part * count * outer, count: count * outer)
        let to = result.part(from: 4 * part * count, bytes: result.bytes - 4 * part * count)
        device.copy(
          from, stride: count, to: to, resultStride: parts * count, count: count, outer: outer)
      }
    case .dispatchChoices(let operation):
      splitBatch(operation)
      return try sendRows(operation)
    case .dispatchCounts(let operation): return try sendRows(operation)
    case .dispatchRows(let operation): receiveRows(operation)
    case .combine(let operation): addUp(operation, nil)
    }
    advance()
    return nil
  }

  /// The sampled rows of `x`; of those that another rank keeps, zeros.
  private func sample(_ type: TensorType, _ arguments: OpArguments) {
    guard let x = arguments.operands[0] else { return }
    let width = type.elementsPerRow
    let kept = RowKind(type) == .own ? step.own : 0..<step.tokens
    for (index, row) in step.sampled.enumerated() {
      let to = arguments.results[0].elements(from: index * width, count: width)
      if kept.contains(row) {
        to.copy(from: x.elements(from: (row - kept.lowerBound) * width, count: width))
      } else {
        to.copy(from: Array(repeating: Float(0), count: width))
      }
    }
  }

  // MARK: Sums and gathers

  private func reduce(_ operation: Operation, _ type: TensorType, _ arguments: OpArguments)
    -> Request?
  {
    guard let x = arguments.operands[0].map({ filled($0, type) }) else { return nil }
    let (group, ranks) = members(operation)
    let blocks = receiveScratch.take(bytes: x.bytes * ranks.count)
    pending = .sum(
      blocks, blocks: ranks.count, count: x.bytes / 4, result: arguments.results[0])
    return .exchange(
      Exchange(
        kind: operation.kind, group: group, members: ranks, sends: ranks.map { _ in x },
        receives: ranks.indices.map { blocks.part(from: $0 * x.bytes, bytes: x.bytes) }))
  }

  private func reduceScatter(_ operation: Operation, _ type: TensorType, _ arguments: OpArguments)
    -> Request?
  {
    guard let x = arguments.operands[0] else { return nil }
    let (group, ranks) = members(operation)
    let width = type.elementsPerRow
    let count = step.own.count * width
    let blocks = receiveScratch.take(bytes: 4 * count * ranks.count)
    pending = .sum(blocks, blocks: ranks.count, count: count, result: arguments.results[0])
    return .exchange(
      Exchange(
        kind: operation.kind, group: group, members: ranks,
        sends: ranks.indices.map { index in
          let rows = share(of: step.tokens, at: index)
          return x.elements(from: rows.lowerBound * width, count: rows.count * width)
        }, receives: ranks.indices.map { blocks.elements(from: $0 * count, count: count) }))
  }

  private func gather(_ operation: Operation, _ type: TensorType, _ arguments: OpArguments)
    -> Request?
  {
    guard let x = arguments.operands[0].map({ filled($0, type) }) else { return nil }
    let (group, ranks) = members(operation)
    let axis = operation.attributes.text("axis")
    let width = type.elementsPerRow
    let receives: [Memory]
    if axis == Axis.ownTokens.name {
      pending = .advance
      receives = ranks.indices.map { index in
        let rows = share(of: step.tokens, at: index)
        return arguments.results[0].elements(
          from: rows.lowerBound * width, count: rows.count * width)
      }
    } else {
      let position = type.position(of: axis) ?? 0
      let inner = type.axes[position...].reduce(1) { $0 * ($1.size ?? 1) }
      let blocks = receiveScratch.take(bytes: x.bytes * ranks.count)
      pending = .interleave(
        blocks, parts: ranks.count, count: inner, outer: x.bytes / 4 / max(inner, 1),
        result: arguments.results[0])
      receives = ranks.indices.map { blocks.part(from: $0 * x.bytes, bytes: x.bytes) }
    }
    return .exchange(
      Exchange(
        kind: operation.kind, group: group, members: ranks, sends: ranks.map { _ in x },
        receives: receives))
  }
}
