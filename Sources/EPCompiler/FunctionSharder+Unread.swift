internal import EPModel

extension FunctionSharder {
  /// Takes out collectives whose results nothing reads: a value that was first wanted in one form
  /// and then in another has been converted twice.
  mutating func removeUnreadCollectives() {
    var read = Set(result.results.map(\.value))
    var kept: [Operation] = []
    for operation in result.operations.reversed() {
      let isConversion: Bool =
        switch operation.kind {
        case .allReduce, .allGather, .reduceScatter, .scatterRows: true
        default: false
        }
      if isConversion && !operation.results.contains(where: { read.contains($0) }) { continue }
      kept.append(operation)
      for case .value(let value) in operation.operands.map(\.reference) { read.insert(value) }
    }
    if kept.count == result.operations.count { return }
    result.operations = kept.reversed()
    renumberValues()
  }

  private mutating func renumberValues() {
    let defined =
      result.parameters.map(\.value) + result.operations.flatMap(\.results)
    var number: [Int: Int] = [:]
    for (new, old) in defined.sorted().enumerated() { number[old] = new }
    result.values = defined.sorted().map { result.values[$0] }
    for index in result.parameters.indices {
      result.parameters[index].value = number[result.parameters[index].value] ?? 0
    }
    for index in result.results.indices {
      result.results[index].value = number[result.results[index].value] ?? 0
    }
    for index in result.operations.indices {
      result.operations[index].results = result.operations[index].results.map { number[$0] ?? 0 }
      for operand in result.operations[index].operands.indices {
        if case .value(let value) = result.operations[index].operands[operand].reference {
          result.operations[index].operands[operand].reference = .value(number[value] ?? 0)
        }
      }
    }
  }
}
