internal import EPIR
public import EPModel
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

/// A kernel with its seconds and nothing else.
struct TimedKernel {
  var part: OpEstimate.Part
  var stream: ShardedFunction.Stream
  var kernel: Kernel
  var seconds: Double
}

/// Seconds of a part of one call of a function, by stream.
public struct CallSeconds: Hashable, Sendable {
  /// With nothing overlapped.
  var serial = 0.0
  /// By stream, while another micro-batch with low-latency exchanges runs beside it.
  var beside = Streams()
  /// By stream, while another one with normal exchanges does.
  var besideNormal = Streams()
  /// Whether it has a dispatch, which another micro-batch can hide.
  var hasDispatch = false
  /// Whether its exchanges are normal ones.
  var hasNormalExchange = false

  struct Streams: Hashable, Sendable {
    var compute = 0.0
    var communication = 0.0

    mutating func add(_ stream: ShardedFunction.Stream, _ seconds: Double) {
      switch stream {
      case .compute: compute += seconds
      case .communication: communication += seconds
      }
    }
  }

  /// Both parts of a call.
  public static func + (first: CallSeconds, second: CallSeconds) -> CallSeconds {
    var sum = first
    sum.serial += second.serial
    sum.beside.compute += second.beside.compute
    sum.beside.communication += second.beside.communication
    sum.besideNormal.compute += second.besideNormal.compute
    sum.besideNormal.communication += second.besideNormal.communication
    sum.hasDispatch = first.hasDispatch || second.hasDispatch
    sum.hasNormalExchange = first.hasNormalExchange || second.hasNormalExchange
    return sum
  }

  /// Of the busier stream, while another micro-batch runs beside it.
  var overlapped: Double {
    let streams = hasNormalExchange ? besideNormal : beside
    return max(streams.compute, streams.communication)
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

  /// Seconds of a part of one call of a function, for one micro-batch.
  public func seconds(
    function index: Int, layer: Int, part: CallPart, samples: Bool,
    contention: Contention = Contention(), times: KernelTimes
  ) -> CallSeconds {
    var planner = KernelPlanner(self, function: index, layer: layer, times: times)
    planner.plan(part)
    if samples && part == .local { planner.planSampling() }
    planner.planLaunches()
    var seconds = CallSeconds()
    for kernel in planner.timed {
      seconds.serial += kernel.seconds
      if kernel.part == .dispatch { seconds.hasDispatch = true }
      guard case .exchange(let exchange) = kernel.kernel else {
        seconds.beside.add(kernel.stream, kernel.seconds)
        let factor = contention.factor(
          for: kernel.kernel, kernel.part, kernel.stream, on: model.hardware)
        seconds.besideNormal.add(kernel.stream, kernel.seconds * factor)
        continue
      }
      if exchange.isLowLatency {
        let share = exchange.isCombine ? contention.combineKernels : contention.dispatchKernels
        seconds.beside.add(kernel.stream, kernel.seconds)
        seconds.beside.add(.compute, kernel.seconds * share)
      } else {
        seconds.hasNormalExchange = true
        seconds.besideNormal.add(kernel.stream, kernel.seconds * contention.exchange)
      }
    }
    return seconds
  }

  /// Seconds of a step: the value of `poolEstimate(overlap:).step`. `call` gives those of one call
  /// of a function; the estimator it gets has the micro-batches set.
  public func stepSeconds(
    _ overlap: OverlapChoice,
    call: (StepEstimator, ModelProgram.Call, _ samples: Bool) -> CallSeconds
  ) -> Double {
    var estimator = self
    let stages = max(pool.mesh.pp, 1)
    estimator.microBatches = overlap == .twoBatches ? 2 * stages : stages
    var slowest = 0.0
    for stage in pool.stages.indices {
      var elapsed = 0.0
      for one in pool.calls(ofStage: stage) {
        let samples =
          one.layers.isEmpty && stage == pool.stages.count - 1
          && pool.functions[one.function].function.results.contains { $0.name == "logits" }
        let seconds = call(estimator, one, samples)
        let times = Double(max(one.layers.count, 1) * estimator.microBatches)
        elapsed += times * Self.elapsed(seconds, overlap)
      }
      slowest = max(slowest, elapsed)
    }
    return slowest * (1 + Double(stages - 1) / Double(max(estimator.microBatches, 1)))
  }

  /// Seconds that one call adds to a step.
  static func elapsed(_ call: CallSeconds, _ overlap: OverlapChoice) -> Double {
    switch overlap {
    case .none: return call.serial
    case .twoBatches: return call.overlapped * (call.hasDispatch ? bubbles : 1)
    }
  }
}
