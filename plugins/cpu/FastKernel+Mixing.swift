internal import CEPKernels
internal import EPBackend

// Operations that mix tokens of a sequence; caches are brought up to date first.
extension FastKernel {
  func run(
    _ attention: epc_attention, _ arguments: OpArguments, _ step: StepState, on device: CPUDevice
  ) {
    var attention = attention
    let keyWidth = attention.key_heads * attention.key_size
    let valueWidth = attention.key_heads * attention.value_size
    let spans = unsafe step.spans.map { span in
      let first = span.rows.lowerBound
      let keys = arguments.append(1, part: 0, width: keyWidth, span)
      let values = arguments.append(2, part: 1, width: valueWidth, span)
      return unsafe epc_span(
        rows: span.rows.count, first_position: span.firstPosition,
        query: arguments.operand(0).reals + first * attention.heads * attention.key_size,
        query_rope: nil, keys: keys.reals, others: values.reals,
        selection: arguments.operands[5].map {
          unsafe UnsafePointer($0.indices + first * attention.selected)
        },
        y: arguments.results[0].reals + first * attention.heads * attention.value_size)
    }
    let isDone = unsafe epc_attention_run(
      device.pool.pool, device.level.level, &attention, arguments.operands[4]?.reals, spans,
      spans.count)
    precondition(isDone, "out of memory")
  }

  func run(
    _ attention: epc_latent_attention, _ arguments: OpArguments, _ step: StepState,
    on device: CPUDevice
  ) {
    var attention = attention
    let spans = unsafe step.spans.map { span in
      let first = span.rows.lowerBound
      let latents = arguments.append(2, part: 0, width: attention.rank, span)
      let keys = arguments.append(3, part: 1, width: attention.rope_size, span)
      return unsafe epc_span(
        rows: span.rows.count, first_position: span.firstPosition,
        query: arguments.operand(0).reals + first * attention.heads * attention.key_size,
        query_rope: arguments.operand(1).reals + first * attention.heads * attention.rope_size,
        keys: latents.reals, others: keys.reals,
        selection: arguments.operands[6].map {
          unsafe UnsafePointer($0.indices + first * attention.selected)
        },
        y: arguments.results[0].reals + first * attention.heads * attention.value_size)
    }
    let up = arguments.operand(4)
    let halves = unsafe UnsafePointer(up.base.assumingMemoryBound(to: UInt16.self))
    let kept = unsafe epc_latent_up(
      reals: forms.isEmpty ? UnsafePointer(up.reals) : nil, halves: forms.isEmpty ? nil : halves)
    let scratch = unsafe step.scratch.take(
      bytes: epc_latent_attention_scratch(&attention, spans, spans.count))
    let isDone = unsafe epc_latent_attention_run(
      device.pool.pool, device.level.level, &attention, kept, spans, spans.count, scratch.base)
    precondition(isDone, "out of memory")
  }

  func run(
    _ attention: epc_linear_attention, _ arguments: OpArguments, _ step: StepState,
    on device: CPUDevice
  ) {
    var attention = attention
    let keyWidth = attention.key_heads * attention.key_size
    let valueWidth = attention.heads * attention.value_size
    let decayWidth = attention.decay_has_rows ? attention.heads * attention.decay_size : 0
    for span in step.spans {
      let first = span.rows.lowerBound
      let decay = unsafe arguments.operands[3].map {
        unsafe UnsafePointer($0.reals + first * decayWidth)
      }
      let beta = unsafe arguments.operands[4].map {
        unsafe UnsafePointer($0.reals + first * attention.heads)
      }
      let isDone = unsafe epc_linear_attention_run(
        device.pool.pool, device.level.level, &attention,
        arguments.operand(0).reals + first * keyWidth,
        arguments.operand(1).reals + first * keyWidth,
        arguments.operand(2).reals + first * valueWidth, decay, beta, span.rows.count,
        arguments.state(span).reals, arguments.results[0].reals + first * valueWidth)
      precondition(isDone, "out of memory")
    }
  }
}
