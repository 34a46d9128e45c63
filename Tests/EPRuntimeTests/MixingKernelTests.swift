import EPModel
import Glibc
import Testing

private let heads = Axis.heads(4)
private let keyHeads = Axis.keyValueHeads(2)

/// Kernels that mix tokens against formulas written down again.
@Suite struct MixingKernelTests {
  /// Plain attention of one sequence from position 0, with everything materialised.
  private func attention(
    query: [[[Double]]], key: [[[Double]]], value: [[[Double]]], scale: Double, softcap: Double?,
    sinks: [Double]?, sees: (Int, Int) -> Bool
  ) -> [Double] {
    var made: [Double] = []
    for (p, row) in query.enumerated() {
      for (h, q) in row.enumerated() {
        let group = h * key[0].count / row.count
        var logits: [(Int, Double)] = []
        for j in 0...p where sees(p, j) {
          var logit = scale * zip(q, key[j][group]).reduce(0) { $0 + $1.0 * $1.1 }
          if let softcap { logit = softcap * tanh(logit / softcap) }
          logits.append((j, logit))
        }
        let sum = logits.reduce(sinks.map { exp($0[h]) } ?? 0) { $0 + exp($1.1) }
        for i in value[0][0].indices {
          made.append(logits.reduce(0) { $0 + exp($1.1) / sum * value[$1.0][group][i] })
        }
      }
    }
    return made
  }

  /// `[rows, count, size]` out of a flat list.
  private func nested(_ x: [Float], _ count: Int, _ size: Int) -> [[[Double]]] {
    (0..<(x.count / count / size)).map { row in
      (0..<count).map { c in
        (0..<size).map { Double(x[(row * count + c) * size + $0]) }
      }
    }
  }

  @Test(arguments: 0..<5)
  func attentionReadsTheCache(variant: Int) throws {
    let (d, v) = (Axis("d", 3), Axis("v", 5))
    let cache = CacheDeclaration(
      "kv", kind: .keyValue, parts: [[keyHeads, d], [keyHeads, v]])
    let (query, key, value) = (numbers(7 * 12), numbers(7 * 6, 2), numbers(7 * 10, 3))
    let sinks = numbers(4, 4)
    var attributes = Attributes(["scale": 0.6])
    var sees: (Int, Int) -> Bool = { _, _ in true }
    switch variant {
    case 1:
      attributes["window"] = 3
      sees = { $0 - $1 < 3 }
    case 2:
      attributes["chunk"] = 3
      sees = { $0 / 3 == $1 / 3 }
    case 3: attributes["softcap"] = 1.5
    default: break
    }
    let selected: [[Int32]] = [
      [0, -1], [1, 0], [0, 2], [3, 1], [2, 4], [5, 0], [6, 3],
    ]
    if variant == 4 { sees = { selected[$0].contains(Int32($1)) } }
    let expected = attention(
      query: nested(query, 4, 3), key: nested(key, 2, 3), value: nested(value, 2, 5), scale: 0.6,
      softcap: variant == 3 ? 1.5 : nil, sinks: variant == 0 ? nil : sinks.map(Double.init),
      sees: sees)
    // Five rows at once, then one, then one: entries come from the cache.
    var made: [Float] = []
    var caches = KernelHarness(sequences: [(5, 0)], caches: [cache]).caches
    for rows in [0..<5, 5..<6, 6..<7] {
      var harness = KernelHarness(
        sequences: [(rows.count, rows.lowerBound)], caches: [cache])
      harness.caches = caches
      func part(_ x: [Float]) -> [Float] {
        let width = x.count / 7
        return Array(x[(rows.lowerBound * width)..<(rows.upperBound * width)])
      }
      harness.value("query", [.tokens, heads, d], part(query))
      harness.value("key", [.tokens, keyHeads, d], part(key))
      harness.value("value", [.tokens, keyHeads, v], part(value))
      if variant != 0 { harness.weight("sinks", [heads], sinks) }
      if variant == 4 {
        harness.value(
          "selection", [.tokens, Axis("selected", 2)], indices: selected[rows].flatMap { $0 })
      }
      made += try harness.run(.attention, attributes)[0]
      caches = harness.caches
    }
    #expect(near(made, expected))
  }

  @Test func sequencesOfAStepDoNotSeeEachOther() throws {
    let d = Axis("d", 3)
    let cache = CacheDeclaration("kv", kind: .keyValue, parts: [[keyHeads, d], [keyHeads, d]])
    let (query, key, value) = (numbers(5 * 12), numbers(5 * 6, 2), numbers(5 * 6, 3))
    func made(_ rows: Range<Int>, _ sequences: [(rows: Int, position: Int)]) throws -> [Float] {
      var harness = KernelHarness(sequences: sequences, caches: [cache])
      harness.value(
        "query", [.tokens, heads, d], Array(query[(rows.lowerBound * 12)..<(rows.upperBound * 12)]))
      harness.value(
        "key", [.tokens, keyHeads, d], Array(key[(rows.lowerBound * 6)..<(rows.upperBound * 6)]))
      harness.value(
        "value", [.tokens, keyHeads, d],
        Array(value[(rows.lowerBound * 6)..<(rows.upperBound * 6)]))
      return try harness.run(.attention, ["scale": 1])[0]
    }
    let alone = try made(0..<2, [(2, 0)]) + made(2..<5, [(3, 0)])
    #expect(try made(0..<5, [(2, 0), (3, 0)]) == alone)
  }

  @Test(arguments: [false, true])
  func latentAttentionEqualsAttentionOverMadeKeys(isSelective: Bool) throws {
    let (nope, rope, value, rank, rows) = (3, 2, 4, 5, 6)
    let (query, queryRope) = (numbers(rows * 4 * nope), numbers(rows * 4 * rope, 2))
    let (latent, keyRope) = (numbers(rows * rank, 3), numbers(rows * rope, 4))
    let up = numbers(4 * (nope + value) * rank, 5)
    let selected: [[Int32]] = (0..<rows).map { [Int32($0), Int32($0 / 2)] }
    var harness = KernelHarness(
      sequences: [(rows, 0)],
      caches: [
        CacheDeclaration("l", kind: .latent, parts: [[Axis("rank", rank)], [Axis("r", rope)]])
      ])
    harness.value("query", [.tokens, heads, Axis("n", nope)], query)
    harness.value("query_rope", [.tokens, heads, Axis("r", rope)], queryRope)
    harness.value("latent", [.tokens, Axis("rank", rank)], latent)
    harness.value("key_rope", [.tokens, Axis("r", rope)], keyRope)
    harness.weight("kv_up", [heads, Axis("kv", nope + value), Axis("rank", rank)], up)
    if isSelective {
      harness.value(
        "selection", [.tokens, Axis("selected", 2)], indices: selected.flatMap { $0 })
    }
    let made = try harness.run(
      .latentAttention, ["scale": 0.4, "value_size": .int(value)])
    func raised(_ row: Int, _ head: Int, _ index: Int) -> Double {
      (0..<rank).reduce(0) { sum, k in
        let weight = Double(up[(head * (nope + value) + index) * rank + k])
        return sum + weight * Double(latent[row * rank + k])
      }
    }
    let keys = (0..<rows).map { row in
      (0..<4).map { head in
        (0..<nope).map { raised(row, head, $0) }
          + (0..<rope).map { Double(keyRope[row * rope + $0]) }
      }
    }
    let values = (0..<rows).map { row in
      (0..<4).map { head in (0..<value).map { raised(row, head, nope + $0) } }
    }
    let queries = zip(nested(query, 4, nope), nested(queryRope, 4, rope)).map { a, b in
      zip(a, b).map { $0 + $1 }
    }
    let expected = attention(
      query: queries, key: keys, value: values, scale: 0.4, softcap: nil, sinks: nil
    ) { p, q in !isSelective || selected[p].contains(Int32(q)) }
    #expect(near(made[0], expected, 1e-5))
  }

  @Test func indexSelectsTheLargest() throws {
    let (query, key, weights) = (numbers(5 * 2 * 3), numbers(5 * 3, 2), numbers(5 * 2, 3))
    var harness = KernelHarness(
      sequences: [(5, 0)],
      caches: [CacheDeclaration("i", kind: .indexKey, parts: [[Axis("d", 3)]])])
    harness.value("query", [.tokens, Axis("h", 2), Axis("d", 3)], query)
    harness.value("key", [.tokens, Axis("d", 3)], key)
    harness.value("head_weights", [.tokens, Axis("h", 2)], weights)
    let made = try harness.run(.index, ["top_k": 3, "scale": 0.7])[0]
    for p in 0..<5 {
      var scores = Array(repeating: 0.0, count: p + 1)
      for q in 0...p {
        for h in 0..<2 {
          var dot = 0.0
          for i in 0..<3 { dot += Double(query[(p * 2 + h) * 3 + i]) * Double(key[q * 3 + i]) }
          scores[q] += Double(weights[p * 2 + h]) * max(0.7 * dot, 0)
        }
      }
      let order = scores.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
      let expected = (0..<3).map { $0 < order.count ? Float(order[$0]) : -1 }
      #expect(Array(made[(p * 3)..<(p * 3 + 3)]) == expected)
    }
  }

  @Test func shortConvolutionKeepsItsLastInputs() throws {
    let (x, weight, bias) = (numbers(6 * 4), numbers(4 * 3, 2), numbers(4, 3))
    let (a, b) = (Axis("a", 2), Axis("b", 2))
    let cache = CacheDeclaration("c", kind: .convolution, parts: [[a, b, Axis("taps", 2)]])
    var made: [Float] = []
    var caches = KernelHarness(sequences: [(1, 0)], caches: [cache]).caches
    for rows in [0..<1, 1..<4, 4..<6] {
      var harness = KernelHarness(sequences: [(rows.count, rows.lowerBound)], caches: [cache])
      harness.caches = caches
      harness.value("x", [.tokens, a, b], Array(x[(rows.lowerBound * 4)..<(rows.upperBound * 4)]))
      harness.weight("weight", [a, b, Axis("taps", 3)], weight)
      harness.weight("bias", [a, b], bias)
      made += try harness.run(.shortConvolution, ["activation": "silu"])[0]
      caches = harness.caches
    }
    var expected: [Double] = []
    for p in 0..<6 {
      for c in 0..<4 {
        var sum = Double(bias[c])
        for tap in 0..<3 where p - 2 + tap >= 0 {
          sum += Double(weight[c * 3 + tap]) * Double(x[(p - 2 + tap) * 4 + c])
        }
        expected.append(sum / (1 + exp(-sum)))
      }
    }
    #expect(near(made, expected))
  }

  @Test(arguments: ["sum", "delta"], ["none", "constant", "head", "element"])
  func linearAttentionCarriesAState(rule: String, decay: String) throws {
    let (n, m, rows) = (3, 2, 5)
    let (query, key) = (numbers(rows * 2 * n), numbers(rows * 2 * n, 2))
    let (value, beta) = (numbers(rows * 4 * m, 3), numbers(rows * 4, 4).map { abs($0) / 2 })
    let perRow = decay == "element" ? 4 * n : 4
    let rates = numbers(rows * perRow, 5).map { -abs($0) }
    let (k, v) = (Axis("k", n), Axis("v", m))
    let cache = CacheDeclaration("s", kind: .recurrent, parts: [[heads, Axis("key_k", n), v]])
    var made: [Float] = []
    var caches = KernelHarness(sequences: [(1, 0)], caches: [cache]).caches
    for range in [0..<3, 3..<5] {
      var harness = KernelHarness(sequences: [(range.count, range.lowerBound)], caches: [cache])
      harness.caches = caches
      func part(_ x: [Float]) -> [Float] {
        let width = x.count / rows
        return Array(x[(range.lowerBound * width)..<(range.upperBound * width)])
      }
      harness.value("query", [.tokens, keyHeads, k], part(query))
      harness.value("key", [.tokens, keyHeads, k], part(key))
      harness.value("value", [.tokens, heads, v], part(value))
      switch decay {
      case "constant": harness.weight("decay", [heads], Array(rates[..<4]))
      case "head": harness.value("decay", [.tokens, heads], part(rates))
      case "element": harness.value("decay", [.tokens, heads, k], part(rates))
      default: break
      }
      harness.value("beta", [.tokens, heads], part(beta))
      made += try harness.run(.linearAttention, ["rule": .text(rule), "scale": 0.8])[0]
      caches = harness.caches
    }
    var expected: [Double] = []
    var state = Array(
      repeating: Array(repeating: Array(repeating: 0.0, count: m), count: n), count: 4)
    for t in 0..<rows {
      for h in 0..<4 {
        let start = (t * 2 + h / 2) * n
        for i in 0..<n {
          var rate = 0.0
          if decay == "constant" { rate = Double(rates[h]) }
          if decay == "head" { rate = Double(rates[t * 4 + h]) }
          if decay == "element" { rate = Double(rates[(t * 4 + h) * n + i]) }
          for j in 0..<m { state[h][i][j] *= exp(rate) }
        }
        for j in 0..<m {
          let held = (0..<n).reduce(0) { $0 + Double(key[start + $1]) * state[h][$1][j] }
          let target = Double(value[(t * 4 + h) * m + j]) - (rule == "delta" ? held : 0)
          for i in 0..<n {
            state[h][i][j] += Double(key[start + i]) * Double(beta[t * 4 + h]) * target
          }
          expected.append(
            0.8 * (0..<n).reduce(0) { $0 + Double(query[start + $1]) * state[h][$1][j] })
        }
      }
    }
    #expect(near(made, expected, 1e-5))
  }
}
