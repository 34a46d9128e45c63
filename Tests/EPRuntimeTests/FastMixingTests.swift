import EPBackend
import EPModel
import Testing

/// Attention of the fast kernels against the reference, over random shapes; the harness compares.
@Suite struct FastMixingTests {
  /// Sequences of a step, at odd places and of odd lengths; caches are filled first.
  private func sequences(_ random: inout SmallGenerator) -> [(rows: Int, position: Int)] {
    (0..<Int.random(in: 1...3, using: &random)).map { _ in
      (
        rows: [1, 1, 2, 5, 30, 60].randomElement(using: &random) ?? 1,
        position: [0, 0, 1, 17, 40].randomElement(using: &random) ?? 0
      )
    }
  }

  private func filled(
    _ harness: KernelHarness, _ random: inout SmallGenerator
  ) -> KernelHarness {
    for (sequence, cache) in zip(harness.sequences, harness.caches) {
      cache.reserve(sequence.position + sequence.rows)
      for entry in cache.entries {
        for part in entry.parts {
          part.memory.copy(
            from: numbers(part.memory.bytes / 4, Int(random.next() >> 40)))
        }
      }
    }
    return harness
  }

  @Test(arguments: 0..<16) func attentionOverRandomShapes(seed: Int) throws {
    var random = SmallGenerator(seed)
    let keyHeads = Int.random(in: 1...3, using: &random)
    let heads = keyHeads * Int.random(in: 1...9, using: &random)
    let size = Int.random(in: 1...70, using: &random)
    let valueSize = Int.random(in: 1...140, using: &random)
    let rows = sequences(&random)
    let tokens = rows.reduce(0) { $0 + $1.rows }
    let (d, v) = (Axis("d", size), Axis("v", valueSize))
    let cache = CacheDeclaration(
      "kv", kind: .keyValue,
      parts: [[.keyValueHeads(keyHeads), d], [.keyValueHeads(keyHeads), v]])
    var harness = filled(KernelHarness(sequences: rows, caches: [cache]), &random)
    harness.value("query", [.tokens, .heads(heads), d], numbers(tokens * heads * size, seed + 1))
    harness.value(
      "key", [.tokens, .keyValueHeads(keyHeads), d], numbers(tokens * keyHeads * size, seed + 2))
    harness.value(
      "value", [.tokens, .keyValueHeads(keyHeads), v],
      numbers(tokens * keyHeads * valueSize, seed + 3))
    var attributes = Attributes(["scale": .real(1 / Double(size).squareRoot())])
    switch seed % 5 {
    case 1: attributes["window"] = .int(Int.random(in: 1...20, using: &random))
    case 2: attributes["chunk"] = .int(Int.random(in: 1...20, using: &random))
    case 3: attributes["softcap"] = 2.5
    case 4:
      harness.value(
        "selection", [.tokens, Axis("selected", 4)],
        indices: (0..<(tokens * 4)).map { Int32($0 % 4 == 0 ? 0 : Int($0 * 7 % 50) - 1) })
    default: break
    }
    if seed % 2 == 1 { harness.weight("sinks", [.heads(heads)], numbers(heads, seed + 4)) }
    _ = try harness.run(.attention, attributes)
  }

  @Test(arguments: 0..<8) func latentAttentionOverRandomShapes(seed: Int) throws {
    var random = SmallGenerator(seed + 50)
    let heads = Int.random(in: 1...19, using: &random)
    let nope = Int.random(in: 1...40, using: &random)
    let valueSize = Int.random(in: 1...40, using: &random)
    let rank = Int.random(in: 1...100, using: &random)
    let rope = Int.random(in: 1...20, using: &random)
    let rows = sequences(&random)
    let tokens = rows.reduce(0) { $0 + $1.rows }
    let (l, r) = (Axis("latent", rank), Axis("rope", rope))
    let cache = CacheDeclaration("kv", kind: .latent, parts: [[l], [r]])
    var harness = filled(KernelHarness(sequences: rows, caches: [cache]), &random)
    harness.value(
      "query", [.tokens, .heads(heads), Axis("nope", nope)],
      numbers(tokens * heads * nope, seed + 1))
    harness.value(
      "query_rope", [.tokens, .heads(heads), r], numbers(tokens * heads * rope, seed + 2))
    harness.value("latent", [.tokens, l], numbers(tokens * rank, seed + 3))
    harness.value("key_rope", [.tokens, r], numbers(tokens * rope, seed + 4))
    harness.weight(
      "kv_up", [.heads(heads), Axis("up", nope + valueSize), l],
      numbers(heads * (nope + valueSize) * rank, seed + 5).map { $0 / 10 })
    if seed % 3 == 2 {
      harness.value(
        "selection", [.tokens, Axis("selected", 3)],
        indices: (0..<(tokens * 3)).map { Int32($0 % 3 == 0 ? 0 : Int($0 * 5 % 40) - 1) })
    }
    _ = try harness.run(
      .latentAttention,
      [
        "scale": .real(1 / Double(nope + rope).squareRoot() / 3), "value_size": .int(valueSize),
      ])
  }

  @Test(arguments: 0..<8) func linearAttentionOverRandomShapes(seed: Int) throws {
    var random = SmallGenerator(seed + 90)
    let keyHeads = Int.random(in: 1...3, using: &random)
    let heads = keyHeads * Int.random(in: 1...4, using: &random)
    let size = Int.random(in: 1...40, using: &random)
    let valueSize = Int.random(in: 1...70, using: &random)
    let rows = sequences(&random)
    let tokens = rows.reduce(0) { $0 + $1.rows }
    let (d, v) = (Axis("d", size), Axis("v", valueSize))
    let cache = CacheDeclaration("state", kind: .recurrent, parts: [[.heads(heads), d, v]])
    var harness = filled(KernelHarness(sequences: rows, caches: [cache]), &random)
    // Queries and keys of about unit length, as models have them.
    let unit = 1 / Float(size).squareRoot()
    for (index, role) in ["query", "key"].enumerated() {
      harness.value(
        role, [.tokens, .keyValueHeads(keyHeads), d],
        numbers(tokens * keyHeads * size, seed + index).map { $0 * unit })
    }
    harness.value(
      "value", [.tokens, .heads(heads), v], numbers(tokens * heads * valueSize, seed + 3))
    let isDelta = seed % 2 == 0
    if seed % 3 == 1 {
      harness.value(
        "decay", [.tokens, .heads(heads)], numbers(tokens * heads, seed + 4).map { -abs($0) })
    } else if seed % 3 == 2 {
      harness.value(
        "decay", [.tokens, .heads(heads), d],
        numbers(tokens * heads * size, seed + 4).map { -abs($0) })
    }
    if isDelta {
      harness.value(
        "beta", [.tokens, .heads(heads)],
        numbers(tokens * heads, seed + 5).map { min(abs($0), 1) })
    }
    _ = try harness.run(
      .linearAttention, ["rule": isDelta ? "delta" : "sum", "scale": .real(0.5)])
  }
}
