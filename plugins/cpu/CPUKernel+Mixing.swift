internal import CEPKernels
internal import EPBackend
internal import EPModel

// Operations that mix tokens of a sequence; caches are brought up to date first.
extension CPUKernel {
  static func makeMixing(_ op: OpDescription) throws(BackendError) -> Form {
    let attributes = op.attributes
    let scale = attributes.real("scale", default: 1)
    switch op.kind {
    case .attention:
      let (query, key) = (try op.required("query"), try op.required("key"))
      return .attention(
        epc_attention(
          heads: query.size(1), key_heads: key.size(1), key_size: key.size(2),
          value_size: try op.required("value").size(2), scale: scale,
          window: attributes.int("window"), chunk: attributes.int("chunk"),
          softcap: attributes.real("softcap"), selected: op.type("selection")?.size(1) ?? 0))
    case .latentAttention:
      let query = try op.required("query")
      return .latentAttention(
        epc_latent_attention(
          heads: query.size(1), key_size: query.size(2),
          rope_size: try op.required("query_rope").size(2),
          value_size: attributes.int("value_size"), rank: try op.required("latent").size(1),
          scale: scale, selected: op.type("selection")?.size(1) ?? 0))
    case .index:
      let query = try op.required("query")
      return .index(
        heads: query.size(1), size: query.size(2), topK: attributes.int("top_k"), scale: scale)
    case .shortConvolution:
      let weight = try op.required("weight")
      return .shortConvolution(
        channels: try op.required("x").elementsPerRow, taps: weight.axes.last?.size ?? 2,
        try activation(op, "activation"))
    case .linearAttention:
      let (key, value) = (try op.required("key"), try op.required("value"))
      let decay = op.type("decay")
      let perHead = (decay?.elementsPerRow ?? 0) / value.size(1)
      return .linearAttention(
        epc_linear_attention(
          heads: value.size(1), key_heads: key.size(1), key_size: key.size(2),
          value_size: value.size(2), delta: attributes.text("rule") == "delta", scale: scale,
          decay_size: perHead, decay_has_rows: decay?.rows != nil))
    case .route: return .route(try RouteForm(op))
    default: throw op.unsupported("it does not mix tokens")
    }
  }

  func runMixing(_ arguments: OpArguments, _ step: StepState, _ rows: Int) {
    switch form {
    case .attention(let attention): run(attention, arguments, step)
    case .latentAttention(let attention): run(attention, arguments, step)
    case .index(let heads, let size, let topK, let scale):
      for span in step.spans {
        let keys = arguments.append(1, part: 0, width: size, span)
        let scratch = step.scratch.take(bytes: 8 * span.end)
        unsafe epc_ref_index(
          arguments.operand(0).reals + span.rows.lowerBound * heads * size,
          arguments.operand(2).reals + span.rows.lowerBound * heads, span.rows.count,
          span.firstPosition, heads, size, keys.reals, topK, scale, scratch.doubles,
          arguments.results[0].indices + span.rows.lowerBound * topK)
      }
    case .shortConvolution(let channels, let taps, let activation):
      for span in step.spans {
        let first = span.rows.lowerBound * channels
        unsafe epc_ref_short_convolution(
          arguments.operand(0).reals + first, span.rows.count, channels, taps,
          arguments.operand(1).reals, arguments.operands[2]?.reals, activation,
          arguments.state(span).reals, arguments.results[0].reals + first)
      }
    case .linearAttention(let attention): run(attention, arguments, step)
    case .route(let form): form.run(arguments, step, rows: self.rows, count: rows)
    default: preconditionFailure("not an operation that mixes tokens")
    }
  }

  private func run(_ attention: epc_attention, _ arguments: OpArguments, _ step: StepState) {
    var attention = attention
    let keyWidth = attention.key_heads * attention.key_size
    let valueWidth = attention.key_heads * attention.value_size
    for span in step.spans {
      let first = span.rows.lowerBound
      let keys = arguments.append(1, part: 0, width: keyWidth, span)
      let values = arguments.append(2, part: 1, width: valueWidth, span)
      let scratch = step.scratch.take(bytes: 8 * span.end)
      let selection = unsafe arguments.operands[5].map {
        unsafe UnsafePointer($0.indices + first * attention.selected)
      }
      unsafe epc_ref_attention(
        &attention,
        arguments.operand(0).reals + first * attention.heads * attention.key_size,
        span.rows.count, span.firstPosition, keys.reals, values.reals,
        arguments.operands[4]?.reals, selection, scratch.doubles,
        arguments.results[0].reals + first * attention.heads * attention.value_size)
    }
  }

  private func run(
    _ attention: epc_latent_attention, _ arguments: OpArguments, _ step: StepState
  ) {
    var attention = attention
    for span in step.spans {
      let first = span.rows.lowerBound
      let latents = arguments.append(2, part: 0, width: attention.rank, span)
      let keys = arguments.append(3, part: 1, width: attention.rope_size, span)
      let scratch = step.scratch.take(bytes: 8 * (span.end + 2 * attention.rank))
      let selection = unsafe arguments.operands[6].map {
        unsafe UnsafePointer($0.indices + first * attention.selected)
      }
      unsafe epc_ref_latent_attention(
        &attention,
        arguments.operand(0).reals + first * attention.heads * attention.key_size,
        arguments.operand(1).reals + first * attention.heads * attention.rope_size,
        span.rows.count, span.firstPosition, latents.reals, keys.reals,
        arguments.operand(4).reals, selection, scratch.doubles,
        arguments.results[0].reals + first * attention.heads * attention.value_size)
    }
  }

  private func run(
    _ attention: epc_linear_attention, _ arguments: OpArguments, _ step: StepState
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
      unsafe epc_ref_linear_attention(
        &attention, arguments.operand(0).reals + first * keyWidth,
        arguments.operand(1).reals + first * keyWidth,
        arguments.operand(2).reals + first * valueWidth, decay, beta, span.rows.count,
        arguments.state(span).reals, arguments.results[0].reals + first * valueWidth)
    }
  }
}

extension TensorType {
  /// The size of the axis at a position.
  fileprivate func size(_ position: Int) -> Int { axes[position].size ?? 1 }
}

extension SequenceSpan {
  /// Positions up to and with its last row.
  var end: Int { firstPosition + rows.count }
}

extension OpArguments {
  /// Puts an operand's rows of a sequence into the cache and returns all the cache holds.
  func append(_ operand: Int, part: Int, width: Int, _ span: SequenceSpan) -> Memory {
    let entries = span.cache.entries[cache].parts[part].memory
    entries.elements(from: span.firstPosition * width, count: span.rows.count * width)
      .copy(
        from: self.operand(operand).elements(
          from: span.rows.lowerBound * width, count: span.rows.count * width))
    return entries
  }

  /// The state that a cache holds of a sequence.
  func state(_ span: SequenceSpan) -> Memory { span.cache.entries[cache].parts[0].memory }
}
