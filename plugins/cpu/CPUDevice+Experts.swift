internal import CEPKernels
public import EPBackend

// Layers of routed experts as one operation.
extension CPUDevice {
  /// Whether the matrices of a layer meet as they should; see `Device`.
  public func fuses(_ layer: ExpertLayer<FastKernel>) -> Bool {
    guard case .linear(let gate) = layer.gate.kernel.form,
      case .linear(let up) = layer.up.kernel.form, case .glu(_, let width) = layer.glu.kernel.form,
      case .linear(let down) = layer.down.kernel.form
    else { return false }
    let isPlain = [gate, up, down].allSatisfy {
      $0.batch == 1 && $0.index == nil && $0.slots == gate.slots && $0.slots > 0
    }
    let formats = Set([layer.gate, layer.up, layer.down].map(\.format))
    return isPlain && formats.count == 1 && gate.out == width && up.out == width
      && down.contracted == width && up.contracted == gate.contracted
      && down.out == gate.contracted
  }

  /// Runs a layer; see `Device`.
  public func run(
    _ layer: ExpertLayer<FastKernel>, _ arguments: ExpertLayer<OpArguments>, x: Memory,
    sources: Memory?, to result: Memory, _ step: StepState
  ) {
    guard case .linear(let form) = layer.gate.kernel.form,
      case .glu(let glu, _) = layer.glu.kernel.form
    else { preconditionFailure("it is no layer that was fused") }
    func bias(_ arguments: OpArguments) -> UnsafePointer<Float>? {
      unsafe UnsafePointer(arguments.operands[2]?.reals)
    }
    var experts = unsafe epc_experts(
      format: layer.gate.format.format, width: form.contracted, hidden: form.out,
      gate: UnsafeRawPointer(arguments.gate.operand(1).base),
      up: UnsafeRawPointer(arguments.up.operand(1).base),
      down: UnsafeRawPointer(arguments.down.operand(1).base), gate_bias: bias(arguments.gate),
      up_bias: bias(arguments.up), down_bias: bias(arguments.down), glu: glu, slots: form.slots,
      ends: UnsafePointer(step.slotEnds.memory.indices),
      sources: UnsafePointer(sources?.indices))
    let scratch = unsafe step.scratch.take(
      bytes: epc_experts_scratch(&experts, step.routed, threads))
    let isDone = unsafe epc_experts_run(
      pool.pool, level.level, &experts, x.reals, step.routed, scratch.base, result.reals)
    precondition(isDone, "out of memory")
  }
}
