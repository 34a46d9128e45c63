internal import EPModel
internal import EPPlan

extension KernelPlanner {
  /// The kernels of an attention: for the sequences that decode, and for the prompts read beside
  /// them.
  mutating func plan(_ attention: KernelOutline.Attention) {
    if step.promptTokens <= 0 {
      planKernels(attention)
      return
    }
    let whole = step
    for part in whole.attentionParts {
      step = part
      planKernels(attention)
    }
    step = whole
  }

  private mutating func planKernels(_ attention: KernelOutline.Attention) {
    switch attention.kind {
    case .latentAttention: planLatent(attention)
    case .attention: planHeads(attention)
    case .index: planIndex(attention)
    case .linearAttention: planLinearAttention(attention)
    default: break
    }
  }

  /// The tokens a row attends to: all, a window, a chunk, or those selected.
  private func context(
    _ attention: KernelOutline.Attention
  ) -> (tokens: Double, isSparse: Bool) {
    let tokens = min(step.context, attention.limit)
    return attention.selected < tokens ? (attention.selected, true) : (tokens, false)
  }

  private func cacheFormat() -> Precision.Format { estimator.attentionFormat }

  private mutating func addCore(_ attention: Kernel.Attention) {
    var attention = attention
    // Sparse kernels keep fp8 caches and compute in bf16.
    let isMeasured = attention.sharesKey && estimator.model.measuresPackedLatents
    attention.arithmetic = attention.isSparse || isMeasured ? .bf16 : cacheFormat()
    if step.isPrefill && !attention.isSparse {
      // A window shorter than the new tokens leaves each of them about the window's length.
      add(.attention, .prefillAttention(attention))
    } else {
      add(.attention, .decodeAttention(attention))
    }
  }

  /// Prefill expands the latent to keys and values; decode works on the latent itself and takes the
  /// expansion to the query and the output instead.
  private mutating func planLatent(_ attention: KernelOutline.Attention) {
    let (heads, nope, rope) = (attention.heads, attention.querySize, attention.rope)
    let (latent, value) = (attention.latent, attention.valueSize)
    let (context, isSparse) = context(attention)
    let format = estimator.precision.linear
    add(
      .other,
      .stream(
        Kernel.Stream(bytes: 2 * step.tokens * (latent + rope) * cacheFormat().bytes)),
      name: "cache append")
    if step.isPrefill && !isSparse {
      let expanded = step.sequences * step.context
      add(
        .gemm,
        .gemm(
          Kernel.Gemm(rows: expanded, n: heads * (nope + value), k: latent, format: format)),
        name: "kv_up")
      add(
        .other,
        .stream(Kernel.Stream(bytes: 2 * 2 * expanded * heads * (nope + rope))),
        name: "key concat")
      addCore(
        Kernel.Attention(
          sequences: step.sequences, queries: step.queries, context: context, heads: heads,
          keyHeads: heads, keySize: nope + rope, valueSize: value, format: cacheFormat()))
      return
    }
    // Absorbed products run in bf16, a group for each head.
    for (label, n, k) in [("absorb query", latent, nope), ("absorb output", value, latent)] {
      add(
        .gemm,
        .grouped(
          Kernel.GroupedGemm(
            form: .batched, groups: heads, rows: step.tokens, n: n, k: k, format: .bf16)),
        name: label)
    }
    addCore(
      Kernel.Attention(
        sequences: step.sequences, queries: step.queries, context: context, heads: heads,
        keyHeads: 1, keySize: latent + rope, valueSize: latent, sharesKey: true,
        isSparse: isSparse, format: cacheFormat()))
  }

  private mutating func planHeads(_ planned: KernelOutline.Attention) {
    let (keyHeads, key, value) = (planned.keyHeads, planned.keySize, planned.valueSize)
    let (context, isSparse) = context(planned)
    add(
      .other,
      .stream(
        Kernel.Stream(
          bytes: 2 * step.tokens * keyHeads * (key + value) * cacheFormat().bytes)),
      name: "cache append")
    var attention = Kernel.Attention(
      sequences: step.sequences, queries: step.queries, context: context, heads: planned.heads,
      keyHeads: keyHeads, keySize: key, valueSize: value, isSparse: isSparse,
      format: cacheFormat())
    if step.isPrefill && context < step.queries {
      // Windows tile the new tokens: as many stretches of the window's length, each seeing itself
      // and the one before.
      attention.sequences = step.sequences * step.queries / context
      attention.queries = context
      attention.context = 1.5 * context
    }
    addCore(attention)
  }

  private mutating func planIndex(_ planned: KernelOutline.Attention) {
    let attention = Kernel.Attention(
      sequences: step.sequences, queries: step.queries, context: step.context,
      heads: planned.heads, keyHeads: 1, keySize: planned.querySize, valueSize: 0, sharesKey: true,
      isSparse: true, format: .fp8)
    add(
      .attention,
      step.isPrefill ? .prefillAttention(attention) : .decodeAttention(attention))
    add(
      .attention,
      .stream(Kernel.Stream(bytes: 2 * 4 * step.sequences * attention.pairs)), name: "select")
  }

  /// Decode moves the states; prefill works in chunks of 64 tokens with tensor cores.
  private mutating func planLinearAttention(_ planned: KernelOutline.Attention) {
    let (key, value) = (planned.keySize, planned.valueSize)
    let states = step.sequences * planned.heads * key * value * 4
    let rows = step.tokens * (2 * planned.keyHeads * key + 2 * planned.heads * value) * 2
    add(.attention, .stream(Kernel.Stream(bytes: 2 * states + rows)), name: "states")
    if step.queries > 16 {
      add(
        .attention,
        .grouped(
          Kernel.GroupedGemm(
            form: .batched, groups: step.sequences * planned.heads, rows: step.queries,
            n: 2 * value, k: key + 64, format: .bf16)), name: "chunks")
    }
  }
}
