internal import EPIR
internal import EPModel

extension Compiler {
  /// Makes logits of the tokens that are sampled only: prefill needs those of the last token of each
  /// sequence, and the logits of all would outweigh everything else a step holds.
  @Sendable static func sampleRows(_ compilation: inout Compilation) throws(Diagnostics) {
    for index in compilation.program.functions.indices {
      let function = compilation.program.functions[index]
      if !function.results.contains(where: { $0.name == "logits" }) { continue }
      do { compilation.program.functions[index] = try samplingLogits(function) } catch {
        throw Diagnostics("compiler-bug", "sample-rows: \(error.description)")
      }
    }
  }

  /// The function with `sample_rows` before the projection that makes the logits, and the rows of
  /// everything behind it changed.
  private static func samplingLogits(_ source: Function) throws(OpError) -> Function {
    guard
      let projection = source.operations.firstIndex(where: { operation in
        guard operation.kind == .linear, case .weight(let weight)? = operation.operand("weight")
        else { return false }
        return source.weights[weight].axes.first?.name == "vocabulary"
      }), case .value(let x)? = source.operations[projection].operand("x"),
      source.values[x].rows == .tokens
    else { return source }
    var function = source
    let sampled = function.values.count
    var operation = Operation(
      .sampleRows, [Operand("x", .value(x))], results: [sampled],
      scope: source.operations[projection].scope,
      location: source.operations[projection].location)
    function.values.append(try operation.inferResults(in: function)[0])
    operation.results = [sampled]
    function.operations.insert(operation, at: projection)
    for index in (projection + 1)..<function.operations.count {
      for operand in function.operations[index].operands.indices
      where index == projection + 1
        && function.operations[index].operands[operand].reference == .value(x)
      {
        function.operations[index].operands[operand].reference = .value(sampled)
      }
      let types = try function.operations[index].inferResults(in: function)
      for (value, type) in zip(function.operations[index].results, types) {
        function.values[value] = type
      }
    }
    return function
  }
}
