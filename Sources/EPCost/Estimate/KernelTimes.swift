internal import EPPlan

/// Seconds of kernels on one model of hardware, whose shapes' rules are remembered. Not shared between
/// threads; what is remembered does not depend on the order of asking.
public final class KernelTimes {
  private var rules: [Kernel: KernelRule] = [:]
  /// That of kernels that only move memory, which is the same for all.
  private var streaming: KernelRule?

  /// Remembers nothing yet.
  public init() {}

  /// The rules of kernels that are asked for in the same order again and again: each is where it was
  /// the last time, unless its shape has changed.
  struct Held {
    fileprivate var rules: [(unit: Kernel, rule: KernelRule)] = []
    fileprivate var next = 0

    /// What follows is the first kernel again.
    mutating func restart() { next = 0 }
  }

  /// Seconds of a kernel, the next one of those that `held` is for; `model` is the same in all calls.
  func seconds(of kernel: Kernel, on model: CostModel, _ held: inout Held) -> Double {
    guard kernel.load > 0, kernel.isNeeded else { return 0 }
    if case .stream = kernel {
      if let streaming { return streaming.seconds(of: kernel, on: model.hardware) }
      let rule = model.rule(for: kernel)
      if rule.surface == nil { streaming = rule }
      return rule.seconds(of: kernel, on: model.hardware)
    }
    let unit = kernel.unit
    let place = held.next
    held.next += 1
    if place < held.rules.count && held.rules[place].unit == unit {
      return held.rules[place].rule.seconds(of: kernel, on: model.hardware)
    }
    let rule = rule(unit, of: kernel, model)
    if place < held.rules.count {
      held.rules[place] = (unit, rule)
    } else {
      held.rules.append((unit, rule))
    }
    return rule.seconds(of: kernel, on: model.hardware)
  }

  private func rule(_ unit: Kernel, of kernel: Kernel, _ model: CostModel) -> KernelRule {
    if let known = rules[unit] { return known }
    let made = model.rule(for: kernel)
    rules[unit] = made
    return made
  }
}

/// A kernel with its seconds, and of what it is only what decides what runs beside it.
public struct TimedKernel: Hashable, Sendable {
  /// What contention does to it.
  enum Kind: UInt8, CaseIterable {
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

  /// A kernel of some kind that takes no time.
  init(_ kind: Kind, _ stream: ShardedFunction.Stream) {
    (self.kind, self.stream) = (kind, stream)
    (operation, part, launches, seconds) = (0, .other, 1, 0)
  }

  init(_ estimate: OpEstimate) {
    self.init(
      operation: estimate.operation, part: estimate.part, stream: estimate.stream,
      kernel: estimate.kernel, seconds: estimate.time.value)
  }
}

/// Seconds of kernels by what contention does to them, on each stream.
public struct KindSeconds: Hashable, Sendable {
  var computing = SIMD8<Double>.zero
  var exchanging = SIMD8<Double>.zero
  /// How many kernels.
  public private(set) var count = 0

  mutating func add(_ kernel: TimedKernel) {
    let kind = Int(kernel.kind.rawValue)
    switch kernel.stream {
    case .compute: computing[kind] += kernel.seconds
    case .communication: exchanging[kind] += kernel.seconds
    }
    count += 1
  }

  /// Adds other kernels.
  public mutating func add(_ other: KindSeconds) {
    computing += other.computing
    exchanging += other.exchanging
    count += other.count
  }

  /// Whether normal exchanges are among them.
  var hasNormalExchange: Bool { exchanging[Int(TimedKernel.Kind.normalExchange.rawValue)] > 0 }
}

/// The kernels of one call of a function and micro-batch, and what they take one after the other.
public final class CallKernels: Sendable {
  /// The kernels.
  public let kernels: [TimedKernel]
  /// Their price.
  public let price: StepPrice
  /// Their seconds by kind.
  public let sums: KindSeconds

  /// Makes it of kernels.
  public init(_ kernels: [TimedKernel]) {
    self.kernels = kernels
    price = StepPrice(kernels)
    sums = kernels.reduce(into: KindSeconds()) { $0.add($1) }
  }
}

/// The kernels of one call of a function, for one step after the other: those of
/// `StepEstimator.estimate`, in a fraction of the time.
public final class CallPlanner {
  /// Which operations of a function.
  public enum Part: Hashable, Sendable {
    /// What does not depend on experts' ranks, slots and loads.
    case local
    /// Exchanges, and what works on rows that they bring.
    case routed
  }

  private var planner: KernelPlanner

  /// Makes a planner of a call for its first layer; `outline` is that of the function, if it is known.
  public init(
    _ estimator: StepEstimator, function: Int, layer: Int, outline: KernelOutline?,
    times: KernelTimes
  ) {
    planner = KernelPlanner(
      estimator, function: function, layer: layer, times: times, outline: outline)
  }

  /// The kernels of one of so many parts of a step.
  public func kernels(
    _ part: Part, of step: StepShape, parts: Int, samples: Bool
  ) -> CallKernels {
    planner.begin(step, parts: parts)
    planner.plan(part)
    if samples && part == .local { planner.planSampling() }
    planner.planLaunches()
    return CallKernels(planner.timed)
  }
}
