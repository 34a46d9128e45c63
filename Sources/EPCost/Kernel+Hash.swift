extension Kernel {
  /// The sizes that vary most, as one word.
  public func hash(into hasher: inout Hasher) {
    var word = HashWord()
    switch self {
    case .gemm(let gemm):
      word.mix(gemm.rows)
      word.mix(gemm.n)
      word.mix(gemm.k)
    case .grouped(let gemm):
      word.mix(gemm.groups)
      word.mix(gemm.rows)
      word.mix(gemm.n)
      word.mix(gemm.k)
    case .decodeAttention(let attention), .prefillAttention(let attention):
      word.mix(attention.sequences)
      word.mix(attention.queries)
      word.mix(attention.context)
      word.mix(attention.heads)
    case .stream(let stream):
      word.mix(stream.bytes)
      word.mix(stream.launches)
    case .exchange(let exchange):
      word.mix(exchange.ranks)
      word.mix(exchange.rows)
      word.mix(exchange.rowBytes)
      word.mix(exchange.imbalance)
    case .collective(let collective):
      word.mix(collective.ranks)
      word.mix(collective.bytes)
    }
    hasher.combine(word.bits)
  }
}
