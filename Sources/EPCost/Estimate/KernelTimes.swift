internal import EPPlan

/// Seconds of kernels on one model of hardware, remembered: a search asks for the same shapes again
/// and again. Not shared between threads; what is remembered does not depend on the order of asking.
public final class KernelTimes {
  private var seconds: [Kernel: Double] = [:]

  /// Remembers nothing yet.
  public init() {}

  /// Seconds of a kernel; `model` is the same in all calls.
  func seconds(of kernel: Kernel, on model: CostModel) -> Double {
    if let known = seconds[kernel] { return known }
    let made = model.time(of: kernel).value
    seconds[kernel] = made
    return made
  }
}

/// A kernel with its seconds, and of what it is only what decides what runs beside it.
public struct TimedKernel: Hashable, Sendable {
  /// What contention does to it.
  enum Kind: UInt8 {
    case gemm, experts, attention, memory, lowLatencyDispatch, lowLatencyCombine, normalExchange
  }

  /// The operation, as an index into the function's operations.
  var operation: Int32
  var part: OpEstimate.Part
  var stream: ShardedFunction.Stream
  var kind: Kind
  /// How many kernels it really is.
  var launches: Float
  /// Run alone.
  var seconds: Double

  init(
    operation: Int, part: OpEstimate.Part, stream: ShardedFunction.Stream, kernel: Kernel,
    seconds: Double
  ) {
    self.operation = Int32(operation)
    self.part = part
    self.stream = stream
    self.seconds = seconds
    launches = 1
    switch kernel {
    case .gemm: kind = .gemm
    case .grouped: kind = part == .experts ? .experts : .gemm
    case .decodeAttention, .prefillAttention: kind = .attention
    case .stream(let stream):
      kind = .memory
      launches = Float(stream.launches)
    case .collective: kind = .memory
    case .exchange(let exchange):
      kind =
        !exchange.isLowLatency
        ? .normalExchange : exchange.isCombine ? .lowLatencyCombine : .lowLatencyDispatch
    }
  }

  init(_ estimate: OpEstimate) {
    self.init(
      operation: estimate.operation, part: estimate.part, stream: estimate.stream,
      kernel: estimate.kernel, seconds: estimate.time.value)
  }
}

/// The kernels of one call of a function and micro-batch, and what they take one after the other.
public struct CallKernels: Sendable {
  /// The kernels.
  public var kernels: [TimedKernel]
  /// Their price.
  public var price: StepPrice

  /// Makes it of kernels.
  public init(_ kernels: [TimedKernel]) {
    self.kernels = kernels
    price = StepPrice(kernels)
  }

  /// Both, one after the other.
  public static func + (first: CallKernels, second: CallKernels) -> CallKernels {
    var both = first
    both.kernels += second.kernels
    both.price.add(second.price)
    return both
  }
}

extension StepEstimator {
  /// Which operations of a function.
  public enum CallPart: Hashable, Sendable {
    /// What does not depend on experts' ranks, slots and loads.
    case local
    /// Exchanges, and what works on rows that they bring.
    case routed
  }

  /// The kernels of a part of one call of a function, for one micro-batch: those of `estimate`, in a
  /// fraction of the time. `outline` is that of the function, if it is known.
  public func kernels(
    function index: Int, layer: Int, part: CallPart, samples: Bool, outline: KernelOutline?,
    times: KernelTimes
  ) -> [TimedKernel] {
    var planner = KernelPlanner(
      self, function: index, layer: layer, times: times, outline: outline)
    planner.plan(part)
    if samples && part == .local { planner.planSampling() }
    planner.planLaunches()
    return planner.timed
  }
}
