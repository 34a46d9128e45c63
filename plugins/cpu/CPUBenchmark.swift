internal import CEPKernels
internal import EPBackend

/// Measures a device's matrix products against what the machine can do at most.
public struct CPUBenchmark {
  /// What one product took, and its floor.
  public struct Row: Hashable, Sendable {
    /// How weights are kept.
    public var weights: WeightFormat
    /// Rows, outputs, inputs.
    public var rows: Int
    /// Outputs of a matrix.
    public var out: Int
    /// Inputs.
    public var contracted: Int
    /// Matrices that the rows are spread over; 1 where there are no experts.
    public var experts: Int
    /// Seconds for one product.
    public var seconds: Double
    /// Floating-point operations a second.
    public var operations: Double
    /// Bytes of weights read a second.
    public var bytes: Double
    /// What the machine could do at most just before or after.
    public var floor: Floor
    /// Seconds that the larger of the products at their peak rate and the weights at the read rate
    /// take, as a share of those it took.
    public var share: Double { max(operations / floor.peak, bytes / floor.reads) }
    /// The same if there were no tiles.
    public var shareOfVectors: Double { max(operations / floor.vectorPeak, bytes / floor.reads) }
  }

  /// What the machine can do at most. Others on the same host change that from second to second.
  public struct Floor: Hashable, Sendable {
    /// Bytes that the threads together read a second.
    public var reads: Double
    /// Operations a second of numbers in registers.
    public var peak: Double
    /// Those of the same numbers without tiles.
    public var vectorPeak: Double
    /// Operations a second of tiles that come from the second-level cache, one for each product, for
    /// formats that are multiplied in tiles; of numbers in registers for others.
    public var cachedPeak: Double

    /// The larger of each.
    public func joined(_ other: Floor) -> Floor {
      Floor(
        reads: max(reads, other.reads), peak: max(peak, other.peak),
        vectorPeak: max(vectorPeak, other.vectorPeak),
        cachedPeak: max(cachedPeak, other.cachedPeak))
    }
  }

  let device: CPUDevice
  /// Weights from memory, not from caches: as many copies as make so many bytes.
  let room: Storage

  /// Makes ready what is read.
  public init(_ device: CPUDevice, bytes: Int = 512 << 20) {
    self.device = device
    room = Storage(bytes: bytes)
    // Pages that nothing was written to are all the same one, which is read from a cache.
    for place in stride(from: 0, to: bytes, by: 4096) {
      unsafe room.memory.base.storeBytes(of: 1, toByteOffset: place, as: UInt8.self)
    }
  }

  /// Measures the floors of a format; takes about a fifth of a second.
  public func floor(_ weights: WeightFormat) -> Floor {
    let (pool, level) = unsafe (device.pool.pool, device.level.level)
    let withoutTiles = min(device.level, .vnni).level
    return unsafe Floor(
      reads: epc_read_rate(pool, room.memory.base, room.memory.bytes, 4),
      peak: epc_peak_rate(pool, level, weights.format, false, 20),
      vectorPeak: epc_peak_rate(pool, withoutTiles, weights.format, false, 20),
      cachedPeak: epc_peak_rate(pool, level, weights.format, true, 10))
  }

  /// Bytes a second that the threads read of the next 64 MiB; takes some milliseconds.
  ///
  /// - Parameter number: how often this was asked for before: what was read lately may be in a cache.
  public func reads(_ number: Int) -> Double {
    let bytes = min(64 << 20, room.memory.bytes)
    let first = number % (room.memory.bytes / bytes) * bytes
    return unsafe epc_read_rate(device.pool.pool, room.memory.base + first, bytes, 1)
  }

  /// Measures one product; with experts every row meets one, the next row the next expert.
  ///
  /// Every product reads other weights than the one before, so that they come from memory.
  public func measure(
    _ weights: WeightFormat, rows: Int, out: Int, contracted: Int, experts: Int = 1
  ) -> Row {
    let matrixBytes = epc_packed_bytes(weights.format, out, contracted)
    let copies = max(room.memory.bytes / (matrixBytes * experts), 1)
    fill(weights, out, contracted)
    let x = Storage((0..<(rows * contracted)).map { Float($0 % 97) / 97 - 0.5 })
    let y = Storage(bytes: 4 * rows * out)
    let active = min(rows, experts)
    let ends = Storage((0..<experts).map { Int32(($0 + 1) * rows / experts) })
    var linear = unsafe epc_linear(
      format: weights.format, batch: 1, out: out, in: contracted, weights: room.memory.base,
      bias: nil, group_ends: experts > 1 ? UnsafePointer(ends.memory.indices) : nil,
      groups: experts)
    let scratch = unsafe Storage(bytes: epc_linear_scratch(&linear, rows))
    let (best, floor) = fastest(weights, runs: min(copies, 16)) { run in
      unsafe linear.weights = UnsafeRawPointer(
        room.memory.base + run % copies * matrixBytes * experts)
      let isDone = unsafe epc_linear_run(
        device.pool.pool, device.level.level, &linear, x.memory.reals, nil, rows,
        scratch.memory.base, y.memory.reals)
      precondition(isDone, "out of memory")
    }
    return Row(
      weights: weights, rows: rows, out: out, contracted: contracted, experts: experts,
      seconds: best, operations: 2 * Double(rows * out * contracted) / best,
      bytes: Double(matrixBytes * active) / best, floor: floor)
  }

  /// The seconds of one run in the fastest of a few rounds of `runs` runs, which are numbered, and what
  /// the machine could do meanwhile.
  func fastest(
    _ weights: WeightFormat, runs: Int, _ body: (Int) -> Void
  ) -> (seconds: Double, floor: Floor) {
    let before = floor(weights)
    let clock = ContinuousClock()
    var best = Double.infinity
    var spent = 0.0
    var rounds = 0
    while rounds < 4 || (spent < 0.1 && rounds < 100) {
      let start = clock.now
      for run in 0..<runs { body(rounds * runs + run) }
      let seconds = start.duration(to: clock.now).seconds
      best = min(best, seconds / Double(runs))
      spent += seconds
      rounds += 1
    }
    return (best, before.joined(floor(weights)))
  }

  /// Packs one matrix and copies it all over the room.
  func fill(_ weights: WeightFormat, _ out: Int, _ contracted: Int) {
    let bytes = epc_packed_bytes(weights.format, out, contracted)
    let reals = Storage((0..<(out * contracted)).map { Float($0 % 101) / 101 - 0.5 })
    let first = room.memory.part(from: 0, bytes: min(bytes, room.memory.bytes))
    unsafe epc_pack(
      weights.format, reals.memory.reals, out, contracted, 0, epc_packed_panels(out), first.base)
    for copy in 1..<max(room.memory.bytes / bytes, 1) {
      room.memory.part(from: copy * bytes, bytes: bytes).copy(from: first)
    }
  }
}

extension Duration {
  /// The whole of it in seconds.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
