internal import CEPKernels
internal import EPBackend
internal import EPModel

extension CPUBenchmark {
  /// Measures a layer of routed experts, from gathering rows to adding results up: 64 experts of 1024
  /// inputs and 512 hidden elements, 8 a token, each chosen as often as any other.
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
    let sources = Storage(order.map { Int32($0 / topK) })
    let (returnPlaces, indices) = (Storage(places), Storage(places.map { _ in Int32(0) }))
    let shares = Storage(Array(repeating: Float(1) / Float(topK), count: rows))
    let x = Storage((0..<(tokens * width)).map { Float($0 % 97) / 97 - 0.5 })
    let gathered = Storage(bytes: 4 * rows * width)
    let (gate, up) = (Storage(bytes: 4 * rows * hidden), Storage(bytes: 4 * rows * hidden))
    let returned = Storage(bytes: 4 * rows * width)
    let result = Storage(bytes: 4 * tokens * width)
    let step = StepState(tokens: 1, slots: 1)
    var glu = epc_glu()
    glu.activation = EPC_SILU

    func multiply(_ x: Storage, _ weight: Int, _ out: Int, _ contracted: Int, to y: Storage) {
      var linear = unsafe epc_linear(
        format: weights.format, batch: 1, out: out, in: contracted,
        weights: UnsafeRawPointer(room.memory.base + weight), bias: nil,
        group_ends: UnsafePointer(ends.memory.indices), groups: experts)
      let scratch = unsafe step.scratch.take(bytes: epc_linear_scratch(&linear, rows))
      let isDone = unsafe epc_linear_run(
        device.pool.pool, device.level.level, &linear, x.memory.reals, nil, rows, scratch.base,
        y.memory.reals)
      precondition(isDone, "out of memory")
    }

    let layer = experts * (2 * bytes + downBytes)
    let layers = max(room.memory.bytes / layer, 1)
    let best = fastest(runs: layers) { run in
      let first = run % layers * layer
      device.pack(
        x.memory, width: width, rows: sources.memory, scales: nil, count: rows,
        to: gathered.memory)
      multiply(gathered, first, hidden, width, to: gate)
      multiply(gathered, first + experts * bytes, hidden, width, to: up)
      device.share(rows, width: 8 * hidden) { rows, _ in
        let first = rows.lowerBound * hidden
        unsafe epc_glu_run(
          device.level.level, &glu, gate.memory.reals + first, up.memory.reals + first,
          rows.count * hidden, gate.memory.reals + first)
      }
      multiply(gate, first + 2 * experts * bytes, width, hidden, to: returned)
      device.combine(
        Combination(
          returned: returned.memory, places: returnPlaces.memory, indices: indices.memory,
          weights: shares.memory, identity: nil, experts: experts, isUnweighted: false,
          rows: tokens, topK: topK, width: width), to: result.memory, step)
    }
    return row(
      weights, rows: tokens, out: hidden, contracted: width, experts: experts, seconds: best,
      operations: 2 * Double(rows) * 3 * Double(width * hidden),
      bytes: Double((2 * bytes + downBytes) * min(rows, experts)))
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
