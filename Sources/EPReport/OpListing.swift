internal import EPIR
internal import EPModel
public import EPPlan

/// The operations of a plan's functions: local types, streams, waits and places in the arena.
public struct OpListing: Sendable {
  /// The plan.
  let plan: Plan

  /// Lists a verified plan.
  public init(_ plan: Plan) { self.plan = plan }

  /// The listing: each pool's functions, under a comment on who calls them and what they need.
  public var text: String {
    var lines: [String] = []
    for pool in plan.pools {
      lines.append("// \(plan.model.name), \(pool.role.rawValue), \(pool.mesh)")
      for (stage, calls) in pool.stages.enumerated() {
        lines.append(
          "// stage \(stage): " + calls.map { name(of: $0, in: pool) }.joined(separator: ", "))
      }
      if !pool.drafts.isEmpty {
        lines.append(
          "// MTP: " + pool.drafts.map { name(of: $0, in: pool) }.joined(separator: ", "))
      }
      lines.append("")
      for (index, function) in pool.functions.enumerated() {
        lines.append("// " + header(of: function, index, in: pool))
        lines.append(function.text)
      }
    }
    return Escaping.printableLines(lines.joined(separator: "\n"))
  }

  private func name(of call: ModelProgram.Call, in pool: Pool) -> String {
    pool.functions[call.function].function.name
      + (call.layers.isEmpty ? "" : "[\(ModelProgram.Call.text(of: call.layers))]")
  }

  private func header(of function: ShardedFunction, _ index: Int, in pool: Pool) -> String {
    let calls = (pool.stages.joined() + pool.drafts).filter { $0.function == index }
    let count = calls.reduce(0) { $0 + max($1.layers.count, 1) }
    let layers = Units.runs(calls.flatMap(\.layers).sorted())
    let communication = function.streams.reduce(0) { $0 + ($1 == .communication ? 1 : 0) }
    var parts = [
      "\(Units.plural(count, "call"))" + (layers.isEmpty ? "" : ", layers \(layers)"),
      "\(Units.plural(function.function.operations.count, "operation")), "
        + "\(communication) on the communication stream",
      "arena \(Units.bytes(function.arenaBytes))",
    ]
    if function.routedCapacity > 0 {
      parts.append("room for \(Units.plural(function.routedCapacity, "routed row"))")
    }
    return "\(function.function.name): " + parts.joined(separator: "; ")
  }
}
