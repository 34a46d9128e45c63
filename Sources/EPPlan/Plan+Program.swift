internal import EPIR
public import EPModel

extension Plan {
  /// The model's program, put together again from the parts that ranks of a pool run: what the plan
  /// was compiled from, but for places in the model file.
  public func program(ofPool index: Int = 0) throws(OpError) -> ModelProgram {
    let pool = pools[index]
    var wholes: [Function?] = []
    for function in pool.functions {
      wholes.append(
        function.isTransport ? nil : try FunctionUnsharder(function, mesh: pool.mesh).whole)
    }
    return pool.program(of: model, functions: wholes)
  }
}

extension Pool {
  /// The program of a model with the given whole functions, nil where the pool's function only moves
  /// values between stages.
  func program(of model: ModelSummary, functions wholes: [Function?]) -> ModelProgram {
    var program = ModelProgram(
      name: model.name, vocabulary: model.vocabulary, hidden: model.hidden,
      precision: model.precision)
    program.ignoredTensors = model.ignoredTensors
    var position: [Int: Int] = [:]
    for (index, whole) in wholes.enumerated() {
      guard let whole else { continue }
      position[index] = program.functions.count
      program.functions.append(whole)
    }
    func calls(_ calls: [ModelProgram.Call]) -> [ModelProgram.Call] {
      calls.compactMap { call in
        position[call.function].map { ModelProgram.Call($0, layers: call.layers) }
      }
    }
    program.calls = calls(stages.flatMap { $0 })
    program.drafts = calls(drafts)
    return program
  }
}
