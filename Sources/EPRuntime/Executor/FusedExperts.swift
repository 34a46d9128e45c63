internal import EPBackend
internal import EPModel
internal import EPPlan

/// Operations of a function that are a layer of routed experts, from dispatch to combine.
struct FusedExperts: Sendable {
  let dispatch: Int
  let gate: Int
  let up: Int
  let glu: Int
  let down: Int
  let combine: Int
  /// Whether what dispatch sends is still there when the others are through, so that rows can be gathered
  /// from it.
  let keepsSource: Bool

  /// The products and the gate among things that go with operations; nil where one is missing.
  func parts<Part>(of all: [Part?]) -> ExpertLayer<Part>? {
    guard let gate = all[gate], let up = all[up], let glu = all[glu], let down = all[down] else {
      return nil
    }
    return ExpertLayer(gate: gate, up: up, glu: glu, down: down)
  }

  /// All of them, from dispatch to combine.
  var operations: [Int] { [dispatch, gate, up, glu, down, combine] }

  /// The layers of a function of which nobody else reads what lies between the operations, neither another
  /// operation nor one that puts its results in the same place.
  static func all(in sharded: ShardedFunction) -> [FusedExperts] {
    let operations = sharded.function.operations
    var makers: [Int: Int] = [:]
    var readers: [Int: [Int]] = [:]
    for (number, operation) in operations.enumerated() {
      for value in operation.results { makers[value] = number }
      for case .value(let value) in operation.operands.map(\.reference) {
        readers[value, default: []].append(number)
      }
    }
    let results = Set(sharded.function.results.map(\.value))
    /// The operation of a kind whose result stands in a role, if nobody but the readers reads it.
    func maker(_ role: String, of number: Int, _ kind: OpKind, readBy count: Int = 1) -> Int? {
      guard case .value(let value)? = operations[number].operand(role), let maker = makers[value],
        operations[maker].kind == kind, readers[value]?.count == count, !results.contains(value)
      else { return nil }
      return maker
    }
    let order = sharded.schedule?.order ?? sharded.issueOrder
    let places = Dictionary(
      order.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    /// Whether no operation that is issued between two others, those of the layer left out, puts
    /// something where a value lies.
    func stays(
      _ reference: Reference?, from first: Int, to last: Int, but layer: [Int]
    ) -> Bool {
      guard case .value(let value)? = reference, let begin = places[first], let end = places[last],
        begin < end
      else { return false }
      let buffer = sharded.buffers[value]
      let kept = buffer.offset..<(buffer.offset + buffer.bytes)
      return order[(begin + 1)..<end].allSatisfy { number in
        layer.contains(number)
          || operations[number].results.allSatisfy {
            let other = sharded.buffers[$0]
            return !kept.overlaps(other.offset..<(other.offset + other.bytes))
          }
      }
    }
    return operations.indices.compactMap { combine in
      guard operations[combine].kind == .combine,
        let down = maker("x", of: combine, .linear), let glu = maker("x", of: down, .glu),
        let gate = maker("gate", of: glu, .linear), let up = maker("up", of: glu, .linear),
        gate != up, let dispatch = maker("x", of: gate, .dispatch, readBy: 2),
        maker("x", of: up, .dispatch, readBy: 2) == dispatch,
        operations[dispatch].operand("indices") == operations[combine].operand("indices"),
        stays(
          .value(operations[dispatch].results[0]), from: dispatch, to: down, but: [gate, up, glu])
      else { return nil }
      return FusedExperts(
        dispatch: dispatch, gate: gate, up: up, glu: glu, down: down, combine: combine,
        keepsSource: operations[dispatch].operand("weights") == nil
          && stays(
            operations[dispatch].operand("x"), from: dispatch, to: combine,
            but: [gate, up, glu, down])
      )
    }
  }
}

// Layers of experts as one operation. Those that are streamed are not: their products run on the experts
// that are there, while others are read.
extension RankExecutor {
  /// Whether the rows of a layer stay on the rank and are gathered only when they are multiplied.
  func gathers(_ layer: FusedExperts, of call: Call) -> Bool {
    let function = variants[call.function].function.function
    return layer.keepsSource && members(function.operations[layer.dispatch]).ranks.count == 1
  }

  /// Runs a layer whose rows stay on the rank, and says where its results are.
  func runGathered(
    _ layer: FusedExperts, of call: Call, sources: Memory, to result: Memory
  ) throws(ExecutionError) {
    guard let x = call.arguments[layer.dispatch].operands[0] else { return }
    try runProducts(layer, of: call, x: x, sources: sources, to: result)
  }

  /// Runs an operation of a layer that is not gathered: all of the layer in place of its last one.
  func runPart(_ operation: Int, _ layer: FusedExperts, of call: Call) throws(ExecutionError) {
    if operation != layer.down || gathers(layer, of: call) || step.routed == 0 { return }
    guard let x = call.arguments[layer.gate].operands[0] else { return }
    try runProducts(
      layer, of: call, x: x, sources: nil, to: call.arguments[layer.down].results[0])
  }

  private func runProducts(
    _ layer: FusedExperts, of call: Call, x: Memory, sources: Memory?, to result: Memory
  ) throws(ExecutionError) {
    guard let kernels = layer.parts(of: variants[call.function].kernels),
      let arguments = layer.parts(of: call.arguments)
    else { return }
    do {
      try device.run(kernels, arguments, x: x, sources: sources, to: result, step)
    } catch { throw .backend(error) }
  }
}
