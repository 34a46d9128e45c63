internal import CEPKernels
internal import EPBackend
internal import EPModel

/// An operation made ready for the fast kernels, or for the reference kernels where it is rare.
@safe
public final class FastKernel: @unchecked Sendable {
  let kernel: CPUKernel
  /// What the operation is called.
  private let name: String
  /// The forms of the operands that are weights; nil for reals.
  let forms: [WeightForm?]
  /// How the weight of a matrix product is kept.
  let format: WeightFormat
  /// Of a binary operation, whether operands meet element by element.
  private let isElementByElement: Bool
  private let forming = Forming()

  /// Whether weights come in the forms that kernels want. A device that wraps this one and does not
  /// pass on the question gets the reference kernels, which take reals.
  private final class Forming: @unchecked Sendable {
    var isAsked = false
  }

  init(_ op: OpDescription, weights: WeightFormat) throws(BackendError) {
    kernel = try CPUKernel(op)
    name = op.kind.rawValue
    format = weights.format(of: op.weightRoles.indices.contains(1) ? op.weightRoles[1] : nil)
    if case .binary(let form) = kernel.form {
      isElementByElement = form.isElementByElement
    } else {
      isElementByElement = false
    }
    switch kernel.form {
    case .linear(let form):
      let bytes = epc_packed_bytes(format.format, form.out, form.contracted)
      forms = [
        nil,
        WeightForm(
          name: format.rawValue, rows: form.out, columns: form.contracted, bytes: bytes,
          rowsTogether: epc_panel_outputs()),
      ]
    case .latentAttention(let form) where weights != .fp32 && form.selected == 0:
      // Which positions sparse attention selects hangs on small differences: there it stays fp32.
      forms = [nil, nil, nil, nil, FastKernel.halves(form)]
    default: forms = []
    }
  }

  /// What makes keys and values of latents as bf16, row by row.
  private static func halves(_ form: epc_latent_attention) -> WeightForm {
    let rows = form.heads * (form.key_size + form.value_size)
    return WeightForm(
      name: CPUDevice.halves, rows: rows, columns: form.rank,
      bytes: (2 * rows * form.rank + 63) / 64 * 64, rowsTogether: 1)
  }

  /// The form of an operand, which is what it will come in.
  func form(ofOperand operand: Int) -> WeightForm? {
    forming.isAsked = true
    return forms.indices.contains(operand) ? forms[operand] : nil
  }

  func run(_ arguments: OpArguments, _ step: StepState, on device: CPUDevice) {
    let rows = step.count(kernel.rows)
    if rows == 0 { return }
    if !forms.isEmpty && !forming.isAsked {
      runReference(arguments, step, on: device)
      return
    }
    switch kernel.form {
    case .linear(let form): run(form, arguments, step, rows, on: device)
    case .attention(let attention): run(attention, arguments, step, on: device)
    case .latentAttention(let attention): run(attention, arguments, step, on: device)
    case .linearAttention(let attention): run(attention, arguments, step, on: device)
    case .route(let form): form.run(arguments, step, rows: kernel.rows, count: rows, on: device)
    case .norm(let form): run(form, arguments, rows, on: device)
    case .glu(let glu, let width): run(glu, width: width, arguments, rows, on: device)
    case .rope(let form): run(form, arguments, step, rows, on: device)
    case .binary(let form) where isElementByElement: run(form, arguments, rows, on: device)
    case .embed, .contract, .unary, .binary, .affine, .positionScale, .sumSquares, .softmax,
      .reduce, .slice, .concat, .reshape, .index, .shortConvolution:
      runReference(arguments, step, on: device)
    }
  }

  /// Runs the reference kernel, and notes what that took.
  private func runReference(_ arguments: OpArguments, _ step: StepState, on device: CPUDevice) {
    let clock = ContinuousClock()
    let start = clock.now
    kernel.run(arguments, step)
    let seconds = start.duration(to: clock.now).seconds
    device.reference.withLock { $0[name, default: 0] += seconds }
  }

  private func run(
    _ form: CPUKernel.LinearForm, _ arguments: OpArguments, _ step: StepState, _ rows: Int,
    on device: CPUDevice
  ) {
    let ends = form.slots > 0 ? step.slotEnds.memory : nil
    var linear = unsafe epc_linear(
      format: format.format, batch: form.batch, out: form.out, in: form.contracted,
      weights: UnsafeRawPointer(arguments.operand(1).base),
      bias: UnsafePointer(arguments.operands[2]?.reals),
      group_ends: UnsafePointer(ends?.indices), groups: max(form.slots, 1))
    let scratch = unsafe step.scratch.take(bytes: epc_linear_scratch(&linear, rows))
    let isDone = unsafe epc_linear_run(
      device.pool.pool, device.level.level, &linear, arguments.operand(0).reals,
      form.index?.memory.indices, rows, scratch.base, arguments.results[0].reals)
    precondition(isDone, "out of memory")
  }
}
