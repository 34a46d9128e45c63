internal import EPIR
internal import EPModel

extension Compiler {
  /// Keeps the MTP depths that are asked for, and sets the precision that is asked for.
  @Sendable static func importProgram(_ compilation: inout Compilation) throws(Diagnostics) {
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
