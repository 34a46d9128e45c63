internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Cuts the layers into stages of about equal weight, which hand hidden states on.
  @Sendable static func splitPipeline(_ compilation: inout Compilation) throws(Diagnostics) {
    for index in compilation.pools.indices {
      let stages = compilation.pools[index].mesh.pp
      if stages == 1 { continue }
      let layers = compilation.program.layerCount
      if stages > layers {
        throw Diagnostics(
          "pipeline", "\(layers) layers cannot fill \(stages) stages; take '--pp \(layers)' or less"
        )
      }
      let pool = compilation.pools[index]
      let calls = pool.stages[0].flatMap { call in
        call.layers.isEmpty
          ? [call] : call.layers.map { ModelProgram.Call(call.function, layers: [$0]) }
      }
      // Layers of one function weigh the same.
      let bytes = pool.functions.indices.map {
        compilation.weightBytes(of: ModelProgram.Call($0), in: pool)
      }
      var cut = cutEvenly(calls.map { bytes[$0.function] }, into: stages).map { Array(calls[$0]) }
      // Embedding and head belong to no layer: a stage must not consist of them alone.
      cut = cut.map(joined)
      let type = residualType(compilation, pool)
      compilation.pools[index].functions.append(transport(.send, type))
      compilation.pools[index].functions.append(transport(.receive, type))
      let send = ModelProgram.Call(compilation.pools[index].functions.count - 2)
      let receive = ModelProgram.Call(compilation.pools[index].functions.count - 1)
      // As many lots as stages keep all of them busy; more would only be smaller.
      compilation.pools[index].pipeline = PipelineSchedule(
        lots: compilation.program.routesWithCapacity ? 1 : stages)
      compilation.pools[index].stages = cut.enumerated().map { stage, calls in
        (stage > 0 ? [receive] : []) + calls + (stage < stages - 1 ? [send] : [])
      }
    }
  }

  /// Consecutive parts of `costs`, none empty, whose greatest sum is the smallest possible.
  static func cutEvenly(_ costs: [Int], into parts: Int) -> [Range<Int>] {
    var low = costs.max() ?? 0
    var high = costs.reduce(0) { $0.saturatingSum($1) }
    while low < high {
      let middle = low + (high - low) / 2
      if packed(costs, most: middle).count <= parts { high = middle } else { low = middle + 1 }
    }
    var ranges = packed(costs, most: low)
    while ranges.count < parts,
      let longest = ranges.indices.max(by: { ranges[$0].count < ranges[$1].count })
    {
      let range = ranges[longest]
      let middle = range.lowerBound + range.count / 2
      ranges.replaceSubrange(
        longest...longest, with: [range.lowerBound..<middle, middle..<range.upperBound])
    }
    return ranges
  }

  private static func packed(_ costs: [Int], most: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    var sum = 0
    for (index, cost) in costs.enumerated() {
      if index > start && sum.saturatingSum(cost) > most {
        ranges.append(start..<index)
        start = index
        sum = 0
      }
      sum = sum.saturatingSum(cost)
    }
    return ranges + [start..<costs.count]
  }

  private static func joined(_ calls: [ModelProgram.Call]) -> [ModelProgram.Call] {
    var runs: [ModelProgram.Call] = []
    for call in calls {
      if let last = runs.last, last.function == call.function, !call.layers.isEmpty {
        runs[runs.count - 1].layers += call.layers
      } else {
        runs.append(call)
      }
    }
    return runs
  }

  private static func residualType(_ compilation: Compilation, _ pool: Pool) -> TensorType {
    TensorType([
      pool.mesh.tp > 1 ? .ownTokens : .tokens, .hidden(compilation.program.hidden),
    ])
  }

  /// A function that does nothing but send `x` to the next stage, or receive it.
  private static func transport(_ kind: OpKind, _ type: TensorType) -> ShardedFunction {
    var function = Function("\(kind.rawValue)_x")
    function.values = [type]
    let group = Attribute.text(Mesh.Group.pipeline.rawValue)
    if kind == .send {
      function.parameters = [Function.Port("x", 0)]
      function.operations = [
        Operation(
          .send, [Operand("x", .value(0))], attributes: Attributes(["group": group]), results: [])
      ]
    } else {
      function.operations = [
        Operation(
          .receive, [],
          attributes: Attributes([
            "group": group, "axes": .list(type.axes.map { .text($0.description) }),
          ]), results: [0])
      ]
      function.results = [Function.Port("x", 0)]
    }
    return ShardedFunction(function, sharding: [], cacheParts: [])
  }
}

extension Compilation {
  /// Bytes of the weights that one call reads on a rank.
  func weightBytes(of call: ModelProgram.Call, in pool: Pool) -> Int {
    pool.functions[call.function].function.weights.reduce(0) { sum, weight in
      sum.saturatingSum(
        Int(
          saturating: Double(weight.elementCount)
            * program.precision.format(of: weight.role).bitsPerElement / 8))
    }
  }
}
