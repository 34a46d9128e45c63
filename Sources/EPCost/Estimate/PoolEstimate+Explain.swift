public import EPModel
internal import EPPlan

extension PoolEstimate {
  /// The estimate as plain data; see docs/cost.md for the fields.
  public var document: Document {
    func milliseconds(_ seconds: Double) -> Document { .real(seconds * 1e3) }
    let ends = { (low: Double, high: Double) in
      Document.object(["lower": .real(low), "upper": .real(high)])
    }
    let memoryFields = memory.parts.map {
      Document.Field(
        name: $0.name.split(separator: " ").joined(separator: "_"),
        value: .real(Double($0.bytes) / Double(1 << 30)))
    }
    let total = max(operations.secondsByProvenance.reduce(0) { $0 + $1.seconds }, 1e-30)
    let shares = operations.secondsByProvenance.map {
      Document.Field(name: $0.provenance.rawValue, value: .real($0.seconds / total))
    }
    let isDecode = tokensPerSequence > 0
    return .object([
      "phase": .text(role.rawValue),
      "overlap": .text(overlap.text),
      "multiprocessors": multiprocessors.map(Document.int),
      "tokens_per_second_per_gpu": .real(throughput.value),
      "step_ms": milliseconds(step.value),
      "tpot_ms": isDecode ? milliseconds(step.value / tokensPerSequence) : nil,
      "ttft_ms": isDecode ? nil : milliseconds(step.value * Double(max(stepsOfPrompt, 1))),
      "interval": .object([
        "tokens_per_second_per_gpu": ends(throughput.lower, throughput.upper),
        "step_ms": ends(step.lower * 1e3, step.upper * 1e3),
      ]),
      "exposed_communication": .real(exposedCommunication / max(step.value, 1e-12)),
      "balancedness": .real(balancedness),
      "memory_gib": .object(
        memoryFields + [
          Document.Field(name: "total", value: .real(Double(memory.total) / Double(1 << 30)))
        ]),
      "cost_per_million_tokens": dollarsPerMillionTokens.map(Document.real),
      "provenance": .object(shares),
    ])
  }

  /// The estimate for people.
  public var text: String {
    let isDecode = tokensPerSequence > 0
    var lines = [
      ("overlap", overlap.phrase),
      (
        "step",
        "\((step.value * 1e3).text(1)) ms (\((step.lower * 1e3).text(1)) to "
          + "\((step.upper * 1e3).text(1)))"
      ),
      (
        "throughput",
        "\(throughput.value.text(0)) tokens/s a device (\(throughput.lower.text(0)) to "
          + "\(throughput.upper.text(0)))"
      ),
    ]
    if isDecode {
      lines.append(
        ("time per token", "\((step.value / tokensPerSequence * 1e3).text(1)) ms a sequence"))
    } else {
      lines.append(
        (
          "first token",
          "\((step.value * Double(max(stepsOfPrompt, 1)) * 1e3).text(0)) ms, without waiting"
        ))
    }
    lines.append(
      (
        "exposed communication",
        "\((exposedCommunication / max(step.value, 1e-12) * 100).text(0)) % of the step"
      ))
    lines.append(("balancedness", balancedness.text(2)))
    let parts = memory.parts.map {
      "\($0.name) \((Double($0.bytes) / Double(1 << 30)).text(1))"
    }
    lines.append(
      (
        "memory",
        "\((Double(memory.total) / Double(1 << 30)).text(1)) GiB: "
          + parts.joined(separator: ", ")
      ))
    if let dollarsPerMillionTokens {
      lines.append(("cost", "\(dollarsPerMillionTokens.text(3)) dollars for a million tokens"))
    }
    let total = max(operations.secondsByProvenance.reduce(0) { $0 + $1.seconds }, 1e-30)
    lines.append(
      (
        "figures",
        operations.secondsByProvenance.filter { $0.seconds > 0 }.map {
          "\($0.provenance.rawValue) \(($0.seconds / total * 100).text(0)) %"
        }.joined(separator: ", ")
      ))
    return lines.map { name, value in
      name + String(repeating: " ", count: max(24 - name.count, 1)) + value + "\n"
    }.joined()
  }
}
