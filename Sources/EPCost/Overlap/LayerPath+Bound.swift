internal import EPPlan

extension LayerPath {
  /// Seconds that no schedule of a layer's micro-batches is shorter than, from one layer to the
  /// next: what the busier stream is busy, and the longest way through one micro-batch.
  ///
  /// `kernels` are those of one micro-batch alone. Infinite where they exchange nothing: there is no
  /// schedule of such layers.
  public func bound(
    _ kernels: [TimedKernel], microBatches: Int, contention: Contention, hardware: Hardware
  ) -> Double {
    let isBesideNormal = microBatches > 1 && kernels.contains { $0.kind == .normalExchange }
    var operations = Array(repeating: 0.0, count: operationCount)
    var (compute, communication) = (0.0, 0.0)
    for kernel in kernels {
      // With one batch only what waits for no exchange is slowed down: as if nothing were.
      let stretch =
        microBatches > 1
        ? contention.stretch(kernel, isBesideNormal: isBesideNormal, on: hardware) : 1
      let seconds = kernel.seconds * stretch
      switch kernel.stream {
      case .compute: compute += seconds
      case .communication: communication += seconds
      }
      compute += kernel.seconds * contention.computeShare(of: kernel)
      if kernel.operation < operations.count { operations[Int(kernel.operation)] += seconds }
    }
    if communication <= 0 { return .infinity }
    let streams = Double(microBatches) * max(compute, communication)
    // Ticks are rounded, each job's by half a nanosecond at most.
    let rounding = Double(kernels.count * (microBatches + 1)) * 1e-9
    return max(0, max(streams, length(operations)) - rounding)
  }

  /// Seconds that the busier stream is busy with these kernels while other micro-batches run beside
  /// them; infinite where they exchange nothing.
  public func busy(
    _ kernels: [TimedKernel], contention: Contention, hardware: Hardware
  ) -> Double {
    let isBesideNormal = kernels.contains { $0.kind == .normalExchange }
    var (compute, communication) = (0.0, 0.0)
    for kernel in kernels {
      let seconds =
        kernel.seconds * contention.stretch(kernel, isBesideNormal: isBesideNormal, on: hardware)
      switch kernel.stream {
      case .compute: compute += seconds
      case .communication: communication += seconds
      }
      compute += kernel.seconds * contention.computeShare(of: kernel)
    }
    return communication > 0 ? max(compute, communication) : .infinity
  }
}
