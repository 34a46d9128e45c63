internal import EPModel
public import EPPlan

/// What a layer's operations wait for, by operation, as flat lists: the longest way through a layer,
/// which no schedule is shorter than, in a fraction of the time that making its jobs takes.
public struct LayerPath: Sendable {
  /// The values that each operation reads, one after the other; `firsts` says where each begins.
  private var reads: [Int] = []
  private var firsts: [Int] = []
  private var writes: [Int] = []
  private var writeFirsts: [Int] = []
  /// The operation whose kernel computes this one too, where it has none of its own; else -1.
  private var leaders: [Int] = []
  private var values: Int
  /// The value that the layer before makes, and the one that the next reads; -1 without.
  private var carried = -1
  private var result = -1

  /// Makes the lists of a function.
  public init(_ sharded: ShardedFunction) {
    let function = sharded.function
    values = function.values.count
    for number in function.operations.indices {
      let operation = function.operations[number]
      firsts.append(reads.count)
      writeFirsts.append(writes.count)
      for case .value(let value) in operation.operands.map(\.reference) { reads.append(value) }
      writes += operation.results
      leaders.append(sharded.leader(of: number) ?? -1)
    }
    firsts.append(reads.count)
    writeFirsts.append(writes.count)
    if let port = function.parameters.first(where: { port in
      function.results.contains { $0.name == port.name }
    }), let end = function.results.first(where: { $0.name == port.name }) {
      (carried, result) = (port.value, end.value)
    }
  }

  /// How many operations there are.
  var operationCount: Int { leaders.count }

  /// Seconds from the arrival of a layer's input until its result is there, if nothing else ran;
  /// `seconds` are those of each operation's kernels.
  func length(_ seconds: [Double]) -> Double {
    if carried < 0 { return 0 }
    var ready = Array(repeating: -Double.infinity, count: values)
    var ends = Array(repeating: -Double.infinity, count: leaders.count)
    ready[carried] = 0
    for number in leaders.indices {
      var end = -Double.infinity
      if seconds[number] <= 0, leaders[number] >= 0 {
        end = ends[leaders[number]]
      } else {
        for read in firsts[number]..<firsts[number + 1] { end = max(end, ready[reads[read]]) }
        end += seconds[number]
      }
      ends[number] = end
      for write in writeFirsts[number]..<writeFirsts[number + 1] { ready[writes[write]] = end }
    }
    return max(ready[result], 0)
  }
}

extension ShardedFunction {
  /// The first product of the same input with a weight of the same kind, among operations before:
  /// engines compute both with one kernel.
  func leader(of number: Int) -> Int? {
    let operation = function.operations[number]
    guard operation.kind == .linear, case .weight(let weight)? = operation.operand("weight") else {
      return nil
    }
    return function.operations.indices.prefix(number).first { other in
      let candidate = function.operations[other]
      guard candidate.kind == .linear, case .weight(let own)? = candidate.operand("weight") else {
        return false
      }
      return candidate.operand("x") == operation.operand("x")
        && candidate.attributes["contract"] == operation.attributes["contract"]
        && candidate.attributes["batch"] == operation.attributes["batch"]
        && function.weights[own].role == function.weights[weight].role
    }
  }
}
