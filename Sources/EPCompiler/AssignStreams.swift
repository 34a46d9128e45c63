internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Puts collectives on the communication stream and all else on the compute stream.
  @Sendable static func assignStreams(_ compilation: inout Compilation) throws(Diagnostics) {
    for pool in compilation.pools.indices {
      for index in compilation.pools[pool].functions.indices {
        compilation.pools[pool].functions[index].streams = streams(
          of: compilation.pools[pool].functions[index])
      }
    }
  }

  static func streams(of sharded: ShardedFunction) -> [ShardedFunction.Stream] {
    sharded.function.operations.map { operation in
      let isLocal = operation.attributes.text("algorithm") == "local"
      return operation.kind.isCollective && !isLocal ? .communication : .compute
    }
  }
}
