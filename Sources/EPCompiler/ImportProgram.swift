internal import EPIR
internal import EPModel

extension Compiler {
  /// Keeps the MTP depths that are asked for, and sets the precision that is asked for.
  @Sendable static func importProgram(_ compilation: inout Compilation) throws(Diagnostics) {
    do {
      for function in compilation.program.functions { try function.verify() }
      try compilation.program.verifyCalls()
    } catch {
      throw Diagnostics("model", "\(error.description); trace the model again")
    }
    for function in compilation.program.functions { try refuseParts(of: function, compilation) }
    let depths = compilation.program.drafts.count
    let wanted = compilation.request.drafts ?? depths
    if wanted < 0 || wanted > depths {
      throw Diagnostics(
        "mtp-depth",
        "'--mtp \(wanted)', but \(compilation.program.name) has \(depths) MTP depths")
    }
    let dropped = compilation.program.drafts.dropFirst(wanted)
    for call in dropped {
      // What is not run is not read either.
      compilation.program.ignoredTensors += call.layers.flatMap { layer in
        compilation.program.functions[call.function].weights.flatMap(\.stored)
          .filter { $0.name.contains("{layer}") }
          .map {
            $0.name.replacing("{layer}", with: String(layer)).replacing("{expert}", with: "*")
          }
      }
    }
    compilation.program.drafts.removeLast(dropped.count)
    if let precision = compilation.request.precision { compilation.program.precision = precision }
    removeUnusedFunctions(&compilation.program)
  }

  /// A model is whole: what belongs to the ranks of a plan cannot stand in it.
  private static func refuseParts(
    of function: Function, _ compilation: Compilation
  ) throws(Diagnostics) {
    for operation in function.operations {
      let hasRankAttribute = ["group", "algorithm", "bias_on", "identity_on", "count"].contains {
        operation.attributes[$0] != nil
          && (operation.kind == .linear || operation.kind == .dispatch
            || operation.kind == .combine || operation.kind == .norm)
      }
      let isCollective: Bool =
        switch operation.kind {
        case .allReduce, .allGather, .reduceScatter, .scatterRows, .send, .receive: true
        default: false
        }
      let readsOwn = function.values.contains { $0.rows == .ownTokens }
      if isCollective || hasRankAttribute || operation.operand("squares") != nil || readsOwn {
        let place = compilation.program.locations[safe: operation.location]
        throw Diagnostics(
          "sharded-model",
          "'\(operation.kind.rawValue)' in '\(function.name)' is a part that one rank of a plan "
            + "runs; give the model, or take the plan as it is", at: place.map { "\($0)" } ?? "")
      }
    }
  }

  private static func removeUnusedFunctions(_ program: inout ModelProgram) {
    let used = Set((program.calls + program.drafts).map(\.function)).sorted()
    let position = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
    program.functions = used.map { program.functions[$0] }
    for index in program.calls.indices {
      program.calls[index].function = position[program.calls[index].function] ?? 0
    }
    for index in program.drafts.indices {
      program.drafts[index].function = position[program.drafts[index].function] ?? 0
    }
  }
}
