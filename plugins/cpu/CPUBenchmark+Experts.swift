internal import CEPKernels
internal import EPBackend
internal import EPModel

extension CPUBenchmark {
  /// Measures a layer of routed experts, from gathering rows to adding results up: 64 experts of 1024
  /// inputs and 512 hidden elements, 8 a token, each chosen as often as any other; few tokens choose
  /// others than those before.
  ///
  /// `rows` of the result are tokens, and the bytes those of the experts that have some.
  public func measureExperts(_ weights: WeightFormat, tokens: Int) -> Row {
    let (experts, topK, width, hidden) = (64, 8, 1024, 512)
    let rows = tokens * topK
    let bytes = epc_packed_bytes(weights.format, hidden, width)
    let downBytes = epc_packed_bytes(weights.format, width, hidden)
    fill(weights, hidden, width)
    // The rows of an expert lie side by side.
    let order = (0..<rows).sorted { ($0 % experts, $0) < ($1 % experts, $1) }
    var places = Array(repeating: Int32(0), count: rows)
    for (place, row) in order.enumerated() { places[row] = Int32(place) }
    let ends = Storage((0..<experts).map { Int32((rows + experts - 1 - $0) / experts) }.running)
    let isSparse = experts % rows == 0
    let sources = Storage(order.map { Int32($0 / topK) })
    let (returnPlaces, indices) = (Storage(places), Storage(places.map { _ in Int32(0) }))
    let shares = Storage(Array(repeating: Float(1) / Float(topK), count: rows))
    let x = Storage((0..<(tokens * width)).map { Float($0 % 97) / 97 - 0.5 })
    let returned = Storage(bytes: 4 * rows * width)
    let result = Storage(bytes: 4 * tokens * width)
    let step = StepState(tokens: 1, slots: 1)
    var shape = unsafe epc_experts(
      format: weights.format, width: width, hidden: hidden, gate: nil, up: nil, down: nil,
      gate_bias: nil, up_bias: nil, down_bias: nil, glu: epc_glu(), slots: experts,
      ends: UnsafePointer(ends.memory.indices), sources: UnsafePointer(sources.memory.indices))
    unsafe shape.glu.activation = EPC_SILU
    let scratch = unsafe Storage(bytes: epc_experts_scratch(&shape, rows, device.threads))
    let layer = experts * (2 * bytes + downBytes)
    let layers = max(room.memory.bytes / layer, 1)
    let (best, floor) = fastest(weights, runs: layers) { run in
      let first = run % layers * layer
      let shift = run / layers * rows % experts
      for expert in 0..<experts where isSparse {
        unsafe ends.memory.indices[expert] = Int32(min(max(expert + 1 - shift, 0), rows))
      }
      unsafe shape.gate = UnsafeRawPointer(room.memory.base + first)
      unsafe shape.up = unsafe shape.gate + experts * bytes
      unsafe shape.down = unsafe shape.up + experts * bytes
      let isDone = unsafe epc_experts_run(
        device.pool.pool, device.level.level, &shape, x.memory.reals, rows, scratch.memory.base,
        returned.memory.reals)
      precondition(isDone, "out of memory")
      device.combine(
        Combination(
          returned: returned.memory, places: returnPlaces.memory, indices: indices.memory,
          weights: shares.memory, identity: nil, experts: experts, isUnweighted: false,
          rows: tokens, topK: topK, width: width), to: result.memory, step)
    }
    return Row(
      weights: weights, rows: tokens, out: hidden, contracted: width, experts: experts,
      seconds: best, operations: 2 * Double(rows * 3 * width * hidden) / best,
      bytes: Double((2 * bytes + downBytes) * min(rows, experts)) / best, floor: floor)
  }
}

extension [Int32] {
  /// The sums of all up to each element.
  fileprivate var running: [Int32] {
    var sum: Int32 = 0
    return map {
      sum += $0
      return sum
    }
  }
}
