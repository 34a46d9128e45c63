import EPCost
import EPModel
import Testing

/// Kernels never take less with more of anything that a step can have more of: what searches over
/// sizes rest on.
@Suite struct SurfaceTests {
  /// Kernels that differ in one size, in ascending order of it.
  private static func series(_ format: Precision.Format) -> [[Kernel]] {
    let sizes: [Double] = (-2...12).flatMap { octave in
      [1, 1.19, 1.41, 1.73].map { $0 * Double(sign: .plus, exponent: octave, significand: 1) }
    }
    func grouped(_ form: Kernel.GroupedGemm.Form, _ groups: Double, _ rows: Double) -> Kernel {
      .grouped(
        Kernel.GroupedGemm(form: form, groups: groups, rows: rows, n: 4096, k: 7168, format: format)
      )
    }
    func decode(_ sequences: Double, _ context: Double, queries: Double = 2) -> Kernel {
      .decodeAttention(
        Kernel.Attention(
          sequences: sequences, queries: queries, context: context, heads: 64, keyHeads: 1,
          keySize: 576, valueSize: 512, sharesKey: true))
    }
    func prefill(_ sequences: Double, _ queries: Double, _ context: Double) -> Kernel {
      .prefillAttention(
        Kernel.Attention(
          sequences: sequences, queries: queries, context: context, heads: 64, keyHeads: 64,
          keySize: 192, valueSize: 128))
    }
    var all: [[Kernel]] = []
    for form in [Kernel.GroupedGemm.Form.masked, .contiguous] {
      all += [4.0, 9, 33].map { groups in sizes.map { grouped(form, groups, $0) } }
      all += [1.0, 7, 100].map { rows in sizes.map { grouped(form, $0, rows) } }
    }
    all += [1.0, 3, 48].map { sequences in sizes.map { decode(sequences, 64 * $0) } }
    all += [100.0, 4500, 40_000].map { context in sizes.map { decode($0, context) } }
    // Chunks of a prompt of 32,768 tokens, and prompts.
    all.append(sizes.map { prefill(1, $0, 16_384 + $0 / 2) })
    all += [512.0, 4000].map { length in sizes.map { prefill($0, length, length) } }
    all.append(
      sizes.map { .gemm(Kernel.Gemm(rows: $0, n: 7168, k: 2048, format: format)) })
    for isLowLatency in [true, false] {
      all.append(
        sizes.map {
          .exchange(
            Kernel.Exchange(
              isCombine: false, isLowLatency: isLowLatency, ranks: 32, node: 8, rows: $0, copies: 8,
              nodesVisited: 3, rowBytes: 7168, format: .fp8))
        })
    }
    return all
  }

  @Test(arguments: ["h800", "h20", "h100", "h200", "b200", "gb200", "mi300x", "ascend910c"])
  func timesGrowWithEverySize(device: String) throws {
    let model = try Repository.model(device)
    for series in Self.series(.fp8) + Self.series(.bf16) {
      var last = 0.0
      for kernel in series {
        let time = model.time(of: kernel).value
        #expect(time >= last * (1 - 1e-12), "\(device): \(kernel) takes \(time), less than \(last)")
        last = time
      }
      #expect(last > model.time(of: series[0]).value)
    }
  }
}
