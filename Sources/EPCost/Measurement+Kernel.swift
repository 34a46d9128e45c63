internal import EPIR
public import EPModel

extension Measurement {
  /// The kernel that was measured, or nil where the operation is not known.
  func kernel() throws(Diagnostics) -> Kernel? {
    guard let format = Precision.Format(rawValue: format) else {
      throw Diagnostics("calibration-row", "'\(format)' is no number format")
    }
    switch operation {
    case "gemm":
      return .gemm(
        Kernel.Gemm(rows: try size("rows"), n: try size("n"), k: try size("k"), format: format))
    case "grouped_masked", "grouped_contiguous":
      return .grouped(
        Kernel.GroupedGemm(
          form: operation == "grouped_masked" ? .masked : .contiguous, groups: try size("groups"),
          rows: try size("rows"), n: try size("n"), k: try size("k"), format: format))
    case "mla_decode":
      // DeepSeek-V3's latent: 512 elements and a rotary key of 64, read once.
      return .decodeAttention(
        Kernel.Attention(
          sequences: try size("sequences"), queries: try size("queries"),
          context: try size("context"), heads: try size("heads"), keyHeads: 1, keySize: 576,
          valueSize: 512, sharesKey: true, format: format))
    case "mla_prefill":
      let heads = try size("heads")
      return .prefillAttention(
        Kernel.Attention(
          sequences: try size("sequences"), queries: try size("queries"),
          context: try size("context"), heads: heads, keyHeads: heads, keySize: 192,
          valueSize: 128, format: format))
    case "dispatch_low_latency", "combine_low_latency", "dispatch_normal", "combine_normal":
      return .exchange(
        Kernel.Exchange(
          isCombine: operation.hasPrefix("combine"),
          isLowLatency: operation.hasSuffix("low_latency"), ranks: try size("ranks"),
          node: try size("node"), rows: try size("rows"), copies: try size("top_k"),
          nodesVisited: try size("nodes_visited"),
          rowBytes: Kernel.Exchange.rowBytes(hidden: try size("hidden"), format: format),
          format: format))
    default: return nil
    }
  }
}

extension Kernel.Exchange {
  /// Bytes of a row on the wire: DeepEP's fp8 rows carry an fp32 scale for 128 elements.
  public static func rowBytes(hidden: Double, format: Precision.Format) -> Double {
    format == .fp8 ? hidden + hidden / 32 : hidden * format.bytes
  }
}
