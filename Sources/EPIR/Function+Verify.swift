public import EPModel

extension Function {
  /// Checks that the function is well-formed: every value is defined once and before it is read,
  /// every operation has the operands, attributes and types its kind asks for.
  public func verify() throws(OpError) {
    var defined = Array(repeating: false, count: values.count)
    func define(_ value: Int, by what: String) throws(OpError) {
      guard values.indices.contains(value) else {
        throw OpError("\(what) of '\(name)' defines %\(value), which is no value")
      }
      if defined[value] { throw OpError("\(what) of '\(name)' defines %\(value) again") }
      defined[value] = true
    }
    for parameter in parameters {
      try define(parameter.value, by: "parameter '\(parameter.name)'")
    }
    for (index, operation) in operations.enumerated() {
      let what = "operation \(index) (\(operation.kind.rawValue))"
      for operand in operation.operands {
        switch operand.reference {
        case .value(let value):
          if !values.indices.contains(value) || !defined[value] {
            throw OpError("\(what) of '\(name)' reads %\(value) before it is defined")
          }
        case .weight(let weight):
          if !weights.indices.contains(weight) {
            throw OpError("\(what) of '\(name)' reads @\(weight), which is no weight")
          }
        case .cache(let cache):
          if !caches.indices.contains(cache) {
            throw OpError("\(what) of '\(name)' keeps $\(cache), which is no cache")
          }
        }
      }
      let types: [TensorType]
      do {
        try operation.checkForm()
        types = try operation.inferResults(in: self)
      } catch { throw OpError("\(what) of '\(name)': \(error.description)") }
      if types.count != operation.results.count {
        throw OpError(
          "\(what) of '\(name)' defines \(operation.results.count) values, not \(types.count)")
      }
      for (value, type) in zip(operation.results, types) {
        try define(value, by: what)
        if values[value] != type {
          throw OpError("\(what) of '\(name)' makes \(type), but %\(value) is \(values[value])")
        }
      }
    }
    for result in results
    where !values.indices.contains(result.value) || !defined[result.value] {
      throw OpError("result '\(result.name)' of '\(name)' is not defined")
    }
    let used = Set(
      operations.flatMap { operation in
        operation.operands.compactMap { operand -> Int? in
          if case .cache(let cache) = operand.reference { return cache } else { return nil }
        }
      })
    for cache in caches.indices where !used.contains(cache) {
      throw OpError("nothing in '\(name)' keeps cache '\(caches[cache].name)'")
    }
  }
}
