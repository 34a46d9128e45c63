internal import EPBackend
internal import EPPlan

/// A call of a rank's program with its operands found. Every operation of every step looks into it: it
/// knows no device, so that nothing of a type has to be found while a step runs.
final class RankCall {
  let function: Int
  let layer: Int
  /// Which MTP depth it is, or nil.
  let draft: Int?
  let slots: Routing.Slots?
  let arguments: [OpArguments]
  /// What runs each operation; nil where the executor does it.
  let kernels: [(any BoundKernel)?]
  /// The routed experts, where they are streamed.
  let experts: StreamedExperts?
  /// What chooses them.
  let router: RouterChain?
  /// For each operation, the layer of routed experts that it is part of and that runs as one. Those that
  /// are streamed do not.
  let fused: [FusedExperts?]

  init<D: Device>(
    _ call: RankProgram.Call, _ variant: PreparedPool<D>.Variant, device: D, draft: Int?,
    arguments: [OpArguments], experts: StreamedExperts?
  ) {
    (function, layer, self.draft) = (call.function, call.layer, draft)
    (self.arguments, self.experts) = (arguments, experts)
    slots = call.placement.map { Routing.Slots($0) }
    router = RouterChain(variant.function.function, variant.references)
    fused = experts == nil ? variant.fused : variant.fused.map { _ in nil }
    kernels = variant.kernels.map { kernel in
      kernel.map { KernelOfDevice(device: device, kernel: $0) }
    }
  }
}

/// A kernel with the device that runs it.
protocol BoundKernel {
  /// Runs an operation on the rows of a step.
  func run(_ arguments: OpArguments, _ step: StepState) throws(BackendError)
}

private struct KernelOfDevice<D: Device>: BoundKernel {
  let device: D
  let kernel: D.Kernel

  func run(_ arguments: OpArguments, _ step: StepState) throws(BackendError) {
    try device.run(kernel, arguments, step)
  }
}

/// What a rank must do when the request that it handed out is complete.
enum PendingWork {
  case nothing
  case advance
  case dispatchChoices(operation: Int)
  case dispatchCounts(operation: Int)
  case dispatchRows(operation: Int)
  case combine(operation: Int)
  case sum(Memory, blocks: Int, count: Int, result: Memory)
  case interleave(Memory, parts: Int, count: Int, outer: Int, result: Memory)
}
