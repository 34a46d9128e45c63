internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// Collects what operations make of each token, put together from all ranks that hold a part.
final class OperationRecorder {
  struct Place: Hashable {
    var layer: Int
    var draft: Int?
    var function: Int
    var operation: Int
    var result: Int
  }

  struct Row: Hashable {
    var prompt: Int
    var position: Int
  }

  /// Where an operation of the sharded function stands in the unsharded one, and how its results
  /// become whole.
  private struct Source {
    var operation: Int
    var wholes: [TensorType]
    var isPartial: Bool
  }

  /// Elements of each row, by tensor rank.
  private var parts: [Place: [Row: [(tensor: Int, elements: [Float])]]] = [:]
  private var joins: [Place: (whole: TensorType, isPartial: Bool, tensorRanks: Int)] = [:]
  private var order: [Place] = []

  func attach<D: Device>(to session: PlanSession<D>, as reference: Pool) {
    for runner in session.pools {
      let sources = zip(runner.pool.functions, reference.functions).map {
        OperationRecorder.sources(of: $0, in: $1)
      }
      for rank in runner.ranks {
        let tensor = rank.program.coordinates.tensor
        let tensorRanks = runner.pool.mesh.tp
        rank.observer = { [unowned self] observation in
          guard let number = observation.operation, observation.function < sources.count,
            let source = sources[observation.function][number]
          else { return }
          for (result, value) in observation.values.enumerated() {
            let rows = observation.places(RowKind(value.type))
            if rows.isEmpty { continue }
            let place = Place(
              layer: observation.layer, draft: observation.draft, function: observation.function,
              operation: source.operation, result: result)
            if joins[place] == nil {
              joins[place] = (source.wholes[result], source.isPartial, tensorRanks)
              order.append(place)
            }
            let width = value.type.elementsPerRow
            let elements =
              value.type.element == .index
              ? value.place.integers.map { Float($0) } : value.place.floats
            for (index, row) in rows.enumerated() {
              let row = Row(prompt: row.sequence, position: row.position)
              // Rows that rested on drafts are done again; the last time counts.
              parts[place, default: [:]][row, default: []].removeAll { $0.tensor == tensor }
              parts[place, default: [:]][row, default: []].append(
                (tensor, Array(elements[(index * width)..<((index + 1) * width)])))
            }
          }
        }
      }
    }
  }

  func detach<D: Device>(from session: PlanSession<D>) {
    for pool in session.pools {
      for rank in pool.ranks { rank.observer = nil }
    }
  }

  /// For each operation of a sharded function, where it comes from; nil for what the compiler added.
  ///
  /// The sharder rewrites operations in order and only adds others between them.
  private static func sources(
    of sharded: ShardedFunction, in reference: ShardedFunction
  ) -> [Source?] {
    let partial = sharded.partialValues
    var sources: [Source?] = sharded.function.operations.map { _ in nil }
    var next = 0
    for (number, operation) in reference.function.operations.enumerated() {
      guard
        let found = sources.indices.dropFirst(next).first(where: {
          sharded.function.operations[$0].kind == operation.kind
            && sharded.function.operations[$0].scope == operation.scope
        })
      else { continue }
      next = found + 1
      let results = sharded.function.operations[found].results
      sources[found] = Source(
        operation: number, wholes: operation.results.map { reference.function.values[$0] },
        isPartial: results.contains { partial.contains($0) })
    }
    return sources
  }

  /// A row of an operation's result, whole.
  private func whole(_ place: Place, _ row: Row) -> [Float]? {
    guard let join = joins[place], let parts = parts[place]?[row], let first = parts.first else {
      return nil
    }
    if join.isPartial {
      return parts.dropFirst().reduce(first.elements) { sum, part in
        zip(sum, part.elements).map { $0 + $1 }
      }
    }
    let count = join.whole.elementsPerRow
    if first.elements.count == count { return first.elements }
    guard let split = join.whole.axes.firstIndex(where: { $0.split == .tensor }) else { return nil }
    let pieces = count / first.elements.count
    let outer = join.whole.axes[..<split].reduce(1) { $0 * ($1.size ?? 1) }
    let inner = count / outer / max(pieces, 1)
    let sorted = parts.sorted { $0.tensor < $1.tensor }
    var elements: [Float] = []
    for block in 0..<outer {
      for piece in 0..<pieces {
        let rank = piece * join.tensorRanks / pieces
        guard let part = sorted.first(where: { $0.tensor == rank }) else { return nil }
        elements += part.elements[(block * inner)..<((block + 1) * inner)]
      }
    }
    return elements
  }

  /// How far the other recorder's results are from these.
  func compare(with other: OperationRecorder, functions: [ShardedFunction]) -> [Comparison.Entry] {
    order.compactMap { place in
      let function = functions[place.function].function
      let operation = function.operations[place.operation]
      var entry = Comparison.Entry(
        layer: place.layer, draft: place.draft, function: function.name,
        operation: place.operation, kind: operation.kind, scope: operation.scope, error: 0,
        magnitude: 0, prompt: 0, position: 0)
      var compared = 0
      for row in (parts[place] ?? [:]).keys.sorted(by: {
        ($0.prompt, $0.position) < ($1.prompt, $1.position)
      }) {
        guard let a = whole(place, row), let b = other.whole(place, row), a.count == b.count else {
          continue
        }
        compared += 1
        for (x, y) in zip(a, b) {
          entry.magnitude = max(entry.magnitude, abs(Double(x)))
          let error = x == y ? 0 : abs(Double(x) - Double(y))
          if error > entry.error || error.isNaN {
            entry.error = error.isNaN ? .infinity : error
            (entry.prompt, entry.position) = (row.prompt, row.position)
          }
        }
      }
      return compared > 0 ? entry : nil
    }
  }
}

extension ShardedFunction {
  /// Values of which each tensor rank holds a summand.
  var partialValues: Set<Int> {
    var partial: Set<Int> = []
    for operation in function.operations {
      var isPartial = false
      switch operation.kind {
      case .linear:
        if case .weight(let weight)? = operation.operand("weight"),
          let axis = sharding[weight].tensorAxis
        {
          let contracted = operation.attributes.texts("contract").count
          isPartial = axis >= sharding[weight].axes.count - contracted
        }
      case .embed:
        if case .weight(let table)? = operation.operand("table") {
          isPartial = sharding[table].tensorAxis == 0
        }
      case .combine:
        if case .value(let x)? = operation.operand("x") { isPartial = partial.contains(x) }
      case .sampleRows:
        // Rows that another rank keeps are zeros.
        if case .value(let x)? = operation.operand("x") {
          isPartial = function.values[x].rows == .ownTokens
        }
      default: break
      }
      if isPartial { partial.formUnion(operation.results) }
    }
    return partial
  }
}
