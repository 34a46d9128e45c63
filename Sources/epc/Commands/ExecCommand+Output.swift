import EPBackendSimGPU
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPReport
import EPRuntime
import EPTokenizer

// What a run says at its end.
extension ExecCommand {
  func show(
    _ result: GenerationResult, _ plan: Plan, _ tokenizer: Tokenizer?, on backend: BackendChoice,
    _ faults: [FaultReport]
  ) throws(Diagnostics) {
    if format == .json {
      return try Terminal.print(document(result, tokenizer, on: backend, faults))
    }
    for (index, prompt) in result.prompts.enumerated() {
      let made = prompt.tokens.map(String.init).joined(separator: " ")
      Terminal.print("prompt \(index), \(prompt.prompt.count) tokens: \(made)\n")
      if let text = text(of: prompt.tokens, tokenizer) { Terminal.print("  \(text)\n") }
    }
    let statistics = result.statistics
    let ranks = plan.pools.reduce(0) { $0 + $1.mesh.ranks }
    var lines = [
      "\(statistics.promptTokens) prompt tokens"
        + rate(statistics.promptTokens, statistics.prefillSeconds) + ", \(statistics.tokens) made"
        + rate(statistics.tokens, statistics.decodeSeconds) + ", on \(ranks) rank(s) of "
        + backend.summary
    ]
    if statistics.drafted > 0 {
      lines.append(
        "drafts: \(statistics.accepted) of \(statistics.drafted) accepted "
          + "(\(Units.percent(statistics.accepted, of: statistics.drafted)))")
    }
    let traffic = statistics.traffic.flatMap { $0.values }
    let sent = traffic.reduce(0) { $0 + $1.dispatchBytes }
    let returned = traffic.reduce(0) { $0 + $1.combineBytes }
    if sent + returned > 0 {
      lines.append(
        "dispatch sent \(Units.bytes(sent)) between ranks, combine \(Units.bytes(returned))")
    }
    let balance = statistics.routedBalance
    if sent + returned > 0, let mean = balance.mean {
      let even = balance.evenMean.map { ", \(Units.decimal($0, digits: 3)) with even shares" } ?? ""
      lines.append(
        "rows of a rank, mean over fullest: \(Units.decimal(mean, digits: 3)) in \(balance.batches) "
          + "batches" + even)
    }
    if statistics.handoverBytes > 0 {
      lines.append("the prefill pool handed over \(Units.bytes(statistics.handoverBytes))")
    }
    if statistics.tokens > 0 {
      let milliseconds = Int((statistics.firstTokenSeconds * 1000).rounded())
      lines.append("first token after \(milliseconds) ms")
    }
    lines.append(statistics.memory.text(experts: statistics.streaming))
    if let streaming = statistics.streaming {
      lines.append(streaming.text(tokens: statistics.tokens))
    }
    let slow = backend.referenceSeconds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    let slowSeconds = slow.reduce(0) { $0 + $1.value }
    let share = slowSeconds / (statistics.prefillSeconds + statistics.decodeSeconds)
    if share >= 0.01 {
      lines.append(
        "without fast kernels: \(Units.decimal(100 * share, digits: 1)) % of the time, in "
          + slow.map(\.key).joined(separator: ", "))
    }
    lines += faults.map { "fault: \($0.text)" }
    Terminal.print(lines.joined(separator: "\n") + "\n")
  }

  /// Nothing where no step was for these tokens alone: the first of each prompt comes with its reading.
  private func rate(_ count: Int, _ seconds: Double) -> String {
    seconds > 0 ? " at \(Int((Double(count) / seconds).rounded())) tokens/s" : ""
  }

  private func text(of tokens: [Int32], _ tokenizer: Tokenizer?) -> String? {
    guard let tokenizer else { return nil }
    do { return try tokenizer.decode(tokens.map(Int.init)) } catch { return nil }
  }

  private func document(
    _ result: GenerationResult, _ tokenizer: Tokenizer?, on backend: BackendChoice,
    _ faults: [FaultReport]
  ) -> Document {
    let statistics = result.statistics
    return .object([
      "prompts": .list(
        result.prompts.map { prompt in
          .object([
            "prompt": .ints(prompt.prompt.map(Int.init)),
            "tokens": .ints(prompt.tokens.map(Int.init)),
            "text": text(of: prompt.tokens, tokenizer).map(Document.text),
          ])
        }),
      "prompt_tokens": .int(statistics.promptTokens), "tokens": .int(statistics.tokens),
      "steps": .int(statistics.steps), "prefill_seconds": .real(statistics.prefillSeconds),
      "decode_seconds": .real(statistics.decodeSeconds),
      "first_token_seconds": .real(statistics.firstTokenSeconds),
      "weight_bytes": .int(statistics.weightBytes),
      "reference_kernel_seconds": .object(
        backend.referenceSeconds.sorted { $0.key < $1.key }.map {
          .init(name: $0.key, value: .real($0.value))
        }),
      "memory": statistics.memory.document(experts: statistics.streaming),
      "streaming": statistics.streaming?.document,
      "faults": faults.isEmpty ? nil : .list(faults.map(\.document)),
      "acceptance_rate": statistics.acceptanceRate.map(Document.real),
      "handover_bytes": .int(statistics.handoverBytes),
      "batch_balance": statistics.routedBalance.mean.map(Document.real),
      "batch_balance_even_shares": statistics.routedBalance.evenMean.map(Document.real),
      "dispatch_bytes": .int(
        statistics.traffic.flatMap { $0.values }.reduce(0) { $0 + $1.dispatchBytes }),
      "combine_bytes": .int(
        statistics.traffic.flatMap { $0.values }.reduce(0) { $0 + $1.combineBytes }),
    ])
  }
}
