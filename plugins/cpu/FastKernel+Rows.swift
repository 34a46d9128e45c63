internal import CEPKernels
internal import EPBackend

// Operations on rows, shared out over threads by row.
extension FastKernel {
  func run(
    _ form: CPUKernel.NormForm, _ arguments: OpArguments, _ rows: Int, on device: CPUDevice
  ) {
    let (x, y) = (arguments.operand(0), arguments.results[0])
    let operands = arguments.operands
    device.share(rows * form.vectors, width: form.size) { vectors, _ in
      let first = vectors.lowerBound * form.size
      let squares = unsafe operands[3].map { unsafe UnsafePointer($0.reals + vectors.lowerBound) }
      unsafe epc_norm_run(
        device.level.level, form.form, x.reals + first, vectors.count, form.size, form.epsilon,
        operands[1]?.reals, form.weightOffset, operands[2]?.reals, squares, form.count,
        y.reals + first)
    }
  }

  func run(
    _ glu: epc_glu, width: Int, _ arguments: OpArguments, _ rows: Int, on device: CPUDevice
  ) {
    let (gate, up) = (arguments.operand(0), arguments.operand(1))
    let y = arguments.results[0]
    // An element's place in its row decides the lane it is computed in, which changes nothing.
    device.share(rows, width: 8 * width) { rows, _ in
      var glu = glu
      let first = rows.lowerBound * width
      unsafe epc_glu_run(
        device.level.level, &glu, gate.reals + first, up.reals + first, rows.count * width,
        y.reals + first)
    }
  }

  func run(
    _ form: RopeForm, _ arguments: OpArguments, _ step: StepState, _ rows: Int,
    on device: CPUDevice
  ) {
    let (x, y) = (arguments.operand(0), arguments.results[0])
    let positions = step.positions(of: kernel.rows)
    let width = form.vectors * form.size
    device.share(rows, width: 8 * width) { rows, worker in
      let scratch = device.pool.scratch(worker, bytes: 8 * form.rotated)
      let first = rows.lowerBound * width
      unsafe epc_rope_run(
        x.reals + first, rows.count, form.vectors, form.size, form.rotated, form.isInterleaved,
        form.frequencies.memory.doubles, form.factor, positions.indices + rows.lowerBound,
        scratch.doubles, y.reals + first)
    }
  }

  func run(
    _ form: CPUKernel.BinaryForm, _ arguments: OpArguments, _ rows: Int, on device: CPUDevice
  ) {
    let (a, b, y) = (arguments.operand(0), arguments.operand(1), arguments.results[0])
    device.share(rows, width: form.width) { rows, _ in
      let first = rows.lowerBound * form.width
      unsafe epc_join_run(
        form.join, a.reals + first, b.reals + first, rows.count * form.width, y.reals + first)
    }
  }
}

extension CPUKernel.BinaryForm {
  /// Whether element i of a row meets element i of the other's row.
  var isElementByElement: Bool {
    narrowWidth == width && !isSwapped
      && (0..<width).allSatisfy { unsafe index.memory.indices[$0] == Int32($0) }
  }
}

extension CPUDevice {
  /// Work of about this many elements is worth waking a thread for.
  private static let least = 1 << 14

  /// Runs a body for ranges of `count` items of `width` elements, over threads where that pays.
  func share(_ count: Int, width: Int, _ body: (Range<Int>, Int) -> Void) {
    let pieces = min(count, 4 * threads, count * width / CPUDevice.least)
    if pieces < 2 || threads == 1 {
      body(0..<count, 0)
      return
    }
    pool.run(pieces) { piece, worker in
      body((count * piece / pieces)..<(count * (piece + 1) / pieces), worker)
    }
  }
}
