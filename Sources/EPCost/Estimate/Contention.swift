internal import EPPlan

/// What running side by side does to kernels and exchanges: how far times in an overlapped step lie
/// above those of the same operations alone.
///
/// Normal All-to-All kernels take multiprocessors from compute. Low-latency ones with receive hooks
/// take none while data is under way, but their send and receive halves do run on the compute
/// stream.
public struct Contention: Hashable, Sendable {
  /// Multiprocessors that normal All-to-All kernels take.
  public var exchangeMultiprocessors: Int
  /// Slowdown of exchanges.
  public var exchange: Double
  /// Slowdown of matrix products, beyond the multiprocessors that are gone.
  public var gemm: Double
  /// Slowdown of products of experts, likewise.
  public var experts: Double
  /// Slowdown of attention, likewise.
  public var attention: Double
  /// The part of a low-latency dispatch that its kernels spend on the compute stream.
  public var dispatchKernels: Double
  /// The part of a low-latency combine that its kernels spend on the compute stream.
  public var combineKernels: Double

  /// Makes factors.
  ///
  /// Slowdowns of products are what DeepSeek's published training profile (H800, EP64, 20 of 132
  /// multiprocessors for communication) shows over the tables; that of exchanges is the least of
  /// what SGLang's profiles show over its unit tests (1.2 to 1.3). The kernel parts are fitted to
  /// DeepSeek's decode profile.
  public init(
    exchangeMultiprocessors: Int = 24, exchange: Double = 1.2, gemm: Double = 1.2,
    experts: Double = 1.1, attention: Double = 1, dispatchKernels: Double = 0.445,
    combineKernels: Double = 0.096
  ) {
    self.exchangeMultiprocessors = exchangeMultiprocessors
    self.exchange = exchange
    self.gemm = gemm
    self.experts = experts
    self.attention = attention
    self.dispatchKernels = dispatchKernels
    self.combineKernels = combineKernels
  }
}

extension FunctionEstimate {
  /// The same call while another micro-batch runs beside it.
  public func contended(_ contention: Contention, on hardware: Hardware) -> FunctionEstimate {
    var contended = self
    contended.operations = []
    let isBesideNormal = hasNormalExchange
    for operation in operations {
      let kernel = TimedKernel(operation)
      var operation = operation
      operation.time = operation.time.scaled(
        by: contention.stretch(kernel, isBesideNormal: isBesideNormal, on: hardware))
      contended.operations.append(operation)
      guard case .exchange(let exchange) = operation.kernel, exchange.isLowLatency else { continue }
      operation.name += " kernels"
      operation.stream = .compute
      operation.part = exchange.isCombine ? .combineKernels : .dispatchKernels
      operation.time = operation.time.scaled(by: contention.computeShare(of: kernel))
      operation.time.provenance = .derived
      operation.floor = 0
      contended.operations.append(operation)
    }
    return contended
  }
}

extension Contention {
  /// Multiprocessors that saturate the links (DeepSeek-V3 report, section 3.2.2).
  public static let saturatingMultiprocessors = 20

  /// How much longer a kernel takes while another micro-batch runs beside it, normal exchanges among
  /// what it runs.
  func stretch(
    _ kernel: TimedKernel, isBesideNormal: Bool, on hardware: Hardware
  ) -> Double {
    switch kernel.kind {
    case .lowLatencyDispatch, .lowLatencyCombine: return 1
    case .normalExchange:
      // Fewer multiprocessors than saturate the links carry less.
      let saturating = Double(Contention.saturatingMultiprocessors)
      return exchange * max(1, saturating / Double(max(exchangeMultiprocessors, 1)))
    case .gemm, .experts, .attention, .memory: break
    }
    if !isBesideNormal { return 1 }
    if kernel.stream == .communication { return exchange }
    let slowdown: Double
    switch kernel.kind {
    case .gemm: slowdown = gemm
    case .experts: slowdown = experts
    case .attention: slowdown = attention
    // A fraction of the multiprocessors saturates memory.
    case .memory, .lowLatencyDispatch, .lowLatencyCombine, .normalExchange: return 1
    }
    let all = hardware.multiprocessors ?? 132
    let left = max(1, all - exchangeMultiprocessors)
    return slowdown * Double(all) / Double(left)
  }

  /// The part of a kernel's time that it also spends on the compute stream: the halves of low-latency
  /// exchanges that send and receive.
  func computeShare(of kernel: TimedKernel) -> Double {
    switch kernel.kind {
    case .lowLatencyDispatch: dispatchKernels
    case .lowLatencyCombine: combineKernels
    case .gemm, .experts, .attention, .memory, .normalExchange: 0
    }
  }
}
