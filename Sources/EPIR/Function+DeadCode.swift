public import EPModel

extension Function {
  /// The function without operations that nothing depends on. What keeps a cache or talks to other
  /// stages stays. Values are numbered anew, in the order they are defined.
  public func withoutDeadOperations() -> Function {
    var isLive = Array(repeating: false, count: values.count)
    for result in results { isLive[result.value] = true }
    var kept: [Operation] = []
    for operation in operations.reversed() {
      let hasEffect = operation.results.isEmpty || operation.operand("cache") != nil
      if !hasEffect && !operation.results.contains(where: { isLive[$0] }) { continue }
      for operand in operation.operands {
        if case .value(let value) = operand.reference { isLive[value] = true }
      }
      kept.append(operation)
    }
    var function = self
    var number: [Int: Int] = [:]
    function.values = []
    func define(_ old: Int) -> Int {
      if let known = number[old] { return known }
      function.values.append(values[old])
      number[old] = function.values.count - 1
      return function.values.count - 1
    }
    for index in function.parameters.indices {
      function.parameters[index].value = define(parameters[index].value)
    }
    function.operations = kept.reversed().map { operation in
      var operation = operation
      for index in operation.operands.indices {
        if case .value(let value) = operation.operands[index].reference {
          operation.operands[index].reference = .value(define(value))
        }
      }
      operation.results = operation.results.map(define)
      return operation
    }
    for index in function.results.indices {
      function.results[index].value = define(results[index].value)
    }
    return function
  }
}
