internal import EPPlan

extension LayerPath {
  /// Seconds that no schedule of a layer's micro-batches is shorter than, from one layer to the
  /// next: what the busier stream is busy, and the longest way through one micro-batch.
  ///
  /// `kernels` are those of one micro-batch alone, one bound for each contention. Infinite where they
  /// exchange nothing: there is no schedule of such layers.
  public func bounds(
    _ kernels: [TimedKernel], microBatches: Int, contentions: [Contention], hardware: Hardware
  ) -> [Double] {
    let contended = microBatches > 1 ? nil : contended(kernels)
    return contentions.map {
      bound(
        kernels, microBatches: microBatches, contention: $0, hardware: hardware,
        contended: contended)
    }
  }

  private func bound(
    _ kernels: [TimedKernel], microBatches: Int, contention: Contention, hardware: Hardware,
    contended: Contended?, slows: Bool = true
  ) -> Double {
    let isBesideNormal = kernels.contains { $0.kind == .normalExchange }
    var operations = Array(repeating: 0.0, count: operationCount)
    var (computing, exchanging) = (operations, operations)
    let gap = LayerLoop.gap(kernels, operations: operationCount)
    var (compute, communication) = (0.0, 0.0)
    for kernel in kernels where kernel.part != .launch && kernel.operation < operationCount {
      let operation = Int(kernel.operation)
      let stretches = slows && contended.map { $0.contains(kernel) } ?? true
      var seconds = kernel.seconds
      if stretches {
        seconds *= contention.stretch(kernel, isBesideNormal: isBesideNormal, on: hardware)
      }
      let hooks = kernel.seconds * contention.computeShare(of: kernel)
      switch kernel.stream {
      case .compute:
        // A kernel's gap goes with it (`LayerLoop`).
        seconds += gap
        compute += seconds
        computing[operation] += seconds
      case .communication:
        communication += seconds
        computing[operation] += hooks
        exchanging[operation] += seconds
      }
      compute += hooks
      operations[operation] += seconds
    }
    if communication <= 0 { return .infinity }
    let streams = Double(microBatches) * max(compute, communication)
    // Ticks are rounded, each job's by half a nanosecond at most.
    let rounding = Double(kernels.count * (microBatches + 1)) * 1e-9
    let path = length(operations, computing: computing, exchanging: exchanging)
    return max(0, max(streams, path) - rounding)
  }

  /// The operations of one batch whose kernels on a stream another stream's may run beside, so that
  /// contention applies to them.
  private struct Contended {
    var computing: [Bool]
    var exchanging: [Bool]

    func contains(_ kernel: TimedKernel) -> Bool {
      switch kernel.stream {
      case .compute: computing[Int(kernel.operation)]
      case .communication: exchanging[Int(kernel.operation)]
      }
    }
  }

  private func contended(_ kernels: [TimedKernel]) -> Contended {
    let none = Array(repeating: false, count: operationCount)
    var (computes, exchangesRows) = (none, none)
    for kernel in kernels where kernel.part != .launch && kernel.operation < operationCount {
      switch kernel.stream {
      case .compute: computes[Int(kernel.operation)] = true
      case .communication: exchangesRows[Int(kernel.operation)] = true
      }
    }
    var contended = Contended(computing: none, exchanging: none)
    for (exchange, beside) in zip(exchanges, besides) where exchangesRows[exchange] {
      for other in beside where computes[other] {
        contended.computing[other] = true
        contended.exchanging[exchange] = true
      }
    }
    return contended
  }

  /// Seconds of the longest way through one batch where nothing slows it down: no schedule of any
  /// contention is shorter.
  public func least(_ kernels: [TimedKernel], hardware: Hardware) -> Double {
    bound(
      kernels, microBatches: 1, contention: Contention(), hardware: hardware, contended: nil,
      slows: false)
  }
}

/// What contention does to kernels of each kind, as factors of their seconds.
public struct ContentionFactors: Sendable {
  /// Of those beside low-latency exchanges, and of those beside normal ones.
  private var computing: [SIMD8<Double>] = []
  private var exchanging: [SIMD8<Double>] = []
  /// Of exchanges, what their own kernels take of the compute stream.
  private var hooks = SIMD8<Double>.zero

  /// The factors of a contention; those of kernels alone where `contention` is nil.
  public init(_ contention: Contention?, on hardware: Hardware) {
    for isBesideNormal in [false, true] {
      func factors(_ stream: ShardedFunction.Stream) -> SIMD8<Double> {
        var factors = SIMD8<Double>.zero
        for kind in TimedKernel.Kind.allCases {
          let kernel = TimedKernel(kind, stream)
          factors[Int(kind.rawValue)] =
            contention?.stretch(kernel, isBesideNormal: isBesideNormal, on: hardware) ?? 1
        }
        return factors
      }
      computing.append(factors(.compute))
      exchanging.append(factors(.communication))
    }
    for kind in TimedKernel.Kind.allCases {
      hooks[Int(kind.rawValue)] = (contention ?? Contention()).computeShare(
        of: TimedKernel(kind, .communication))
    }
  }

  /// Seconds that the busier stream is busy with kernels, all behind one another; infinite where they
  /// exchange nothing.
  public func busy(_ sums: KindSeconds) -> Double {
    let beside = sums.hasNormalExchange ? 1 : 0
    let exchanged = (sums.exchanging * exchanging[beside]).sum()
    if exchanged <= 0 { return .infinity }
    return max(exchanged, (sums.computing * computing[beside] + sums.exchanging * hooks).sum())
  }
}
