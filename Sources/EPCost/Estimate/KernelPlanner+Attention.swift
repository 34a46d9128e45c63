internal import EPModel
internal import EPPlan

extension KernelPlanner {
  /// The kernels of an attention: for the sequences that decode, and for the prompts read beside
  /// them.
  mutating func planAttention(_ index: Int) {
    let whole = step
    for part in whole.attentionParts {
      step = part
      planKernels(index)
    }
    step = whole
  }

  private mutating func planKernels(_ index: Int) {
    let operation = function.operations[index]
    switch operation.kind {
    case .latentAttention: planLatent(index)
    case .attention: planHeads(index)
    case .index: planIndex(index)
    case .linearAttention: planLinearAttention(index)
    default: break
    }
  }

  private func axes(_ operation: Operation, _ role: String) -> [Double] {
    guard case .value(let value)? = operation.operand(role) else { return [] }
    return function.values[value].axes.compactMap { $0.size.map(Double.init) }
  }

  /// The tokens a row attends to: all, a window, a chunk, or those selected.
  private func context(_ operation: Operation) -> (tokens: Double, isSparse: Bool) {
    var tokens = step.context
    for name in ["window", "chunk"] {
      let limit = operation.attributes.int(name)
      if limit > 0 { tokens = min(tokens, Double(limit)) }
    }
    if let selected = axes(operation, "selection").first, selected < tokens {
      return (selected, true)
    }
    return (tokens, false)
  }

  private func cacheFormat() -> Precision.Format { estimator.attentionFormat }

  private mutating func addCore(_ index: Int, _ attention: Kernel.Attention) {
    var attention = attention
    // Sparse kernels keep fp8 caches and compute in bf16.
    let isMeasured = attention.sharesKey && estimator.model.measuresPackedLatents
    attention.arithmetic = attention.isSparse || isMeasured ? .bf16 : cacheFormat()
    if step.isPrefill && !attention.isSparse {
      // A window shorter than the new tokens leaves each of them about the window's length.
      add(index, .attention, .prefillAttention(attention))
    } else {
      add(index, .attention, .decodeAttention(attention))
    }
  }

  /// Prefill expands the latent to keys and values; decode works on the latent itself and takes the
  /// expansion to the query and the output instead.
  private mutating func planLatent(_ index: Int) {
    let operation = function.operations[index]
    let query = axes(operation, "query")
    guard query.count == 2, let rope = axes(operation, "query_rope").last,
      let latent = axes(operation, "latent").first
    else { return }
    let (heads, nope) = (query[0], query[1])
    let value = Double(operation.attributes.int("value_size"))
    let (context, isSparse) = context(operation)
    let format = estimator.precision.linear
    add(
      index, .other,
      .stream(
        Kernel.Stream(bytes: 2 * step.tokens * (latent + rope) * cacheFormat().bytes)),
      name: "cache append")
    if step.isPrefill && !isSparse {
      let expanded = step.sequences * step.context
      add(
        index, .gemm,
        .gemm(
          Kernel.Gemm(rows: expanded, n: heads * (nope + value), k: latent, format: format)),
        name: "kv_up")
      add(
        index, .other,
        .stream(Kernel.Stream(bytes: 2 * 2 * expanded * heads * (nope + rope))),
        name: "key concat")
      addCore(
        index,
        Kernel.Attention(
          sequences: step.sequences, queries: step.queries, context: context, heads: heads,
          keyHeads: heads, keySize: nope + rope, valueSize: value, format: cacheFormat()))
      return
    }
    // Absorbed products run in bf16, a group for each head.
    for (label, n, k) in [("absorb query", latent, nope), ("absorb output", value, latent)] {
      add(
        index, .gemm,
        .grouped(
          Kernel.GroupedGemm(
            form: .batched, groups: heads, rows: step.tokens, n: n, k: k, format: .bf16)),
        name: label)
    }
    addCore(
      index,
      Kernel.Attention(
        sequences: step.sequences, queries: step.queries, context: context, heads: heads,
        keyHeads: 1, keySize: latent + rope, valueSize: latent, sharesKey: true,
        isSparse: isSparse, format: cacheFormat()))
  }

  private mutating func planHeads(_ index: Int) {
    let operation = function.operations[index]
    let (query, key) = (axes(operation, "query"), axes(operation, "key"))
    guard query.count == 2, key.count == 2, let value = axes(operation, "value").last else {
      return
    }
    let (context, isSparse) = context(operation)
    add(
      index, .other,
      .stream(
        Kernel.Stream(
          bytes: 2 * step.tokens * key[0] * (key[1] + value) * cacheFormat().bytes)),
      name: "cache append")
    var attention = Kernel.Attention(
      sequences: step.sequences, queries: step.queries, context: context, heads: query[0],
      keyHeads: key[0], keySize: key[1], valueSize: value, isSparse: isSparse,
      format: cacheFormat())
    if step.isPrefill && context < step.queries {
      // Windows tile the new tokens: as many stretches of the window's length, each seeing itself
      // and the one before.
      attention.sequences = step.sequences * step.queries / context
      attention.queries = context
      attention.context = 1.5 * context
    }
    addCore(index, attention)
  }

  private mutating func planIndex(_ index: Int) {
    let operation = function.operations[index]
    let query = axes(operation, "query")
    guard query.count == 2 else { return }
    let attention = Kernel.Attention(
      sequences: step.sequences, queries: step.queries, context: step.context, heads: query[0],
      keyHeads: 1, keySize: query[1], valueSize: 0, sharesKey: true, isSparse: true, format: .fp8)
    add(
      index, .attention,
      step.isPrefill ? .prefillAttention(attention) : .decodeAttention(attention))
    add(
      index, .attention,
      .stream(Kernel.Stream(bytes: 2 * 4 * step.sequences * attention.pairs)), name: "select")
  }

  /// Decode moves the states; prefill works in chunks of 64 tokens with tensor cores.
  private mutating func planLinearAttention(_ index: Int) {
    let operation = function.operations[index]
    let (key, value) = (axes(operation, "key"), axes(operation, "value"))
    guard key.count == 2, value.count == 2 else { return }
    let states = step.sequences * value[0] * key[1] * value[1] * 4
    let rows = step.tokens * (2 * key[0] * key[1] + 2 * value[0] * value[1]) * 2
    add(index, .attention, .stream(Kernel.Stream(bytes: 2 * states + rows)), name: "states")
    if step.queries > 16 {
      add(
        index, .attention,
        .grouped(
          Kernel.GroupedGemm(
            form: .batched, groups: step.sequences * value[0], rows: step.queries,
            n: 2 * value[1], k: key[1] + 64, format: .bf16)), name: "chunks")
    }
  }
}
