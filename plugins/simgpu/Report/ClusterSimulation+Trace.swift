internal import EPCost
internal import EPModel
internal import EPPlan

extension ClusterSimulation {
  /// The probed ranks' jobs in the trace format of Chrome and Perfetto: a process for each rank, a
  /// thread for each stream, microseconds of simulated time.
  public var trace: String {
    var text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
    var isFirst = true
    func add(_ event: String) {
      text += isFirst ? event : ",\n" + event
      isFirst = false
    }
    for (number, simulation) in pools.enumerated() {
      let outcome = simulation.outcome
      let base = simulation.pool.firstRank
      for rank in Set(outcome.spans.map(\.rank)).sorted() {
        let process = "\"pid\":\(base + rank)"
        let name = "rank \(base + rank) (\(simulation.pool.role.rawValue))"
        add(
          "{\"ph\":\"M\",\"name\":\"process_name\",\(process),\"args\":{\"name\":"
            + "\(Document.text(name).json)}}")
        add(
          "{\"ph\":\"M\",\"name\":\"process_sort_index\",\(process),\"args\":{\"sort_index\":"
            + "\(number * (1 << 21) + rank)}}")
        for (stream, label) in [(0, "compute"), (1, "communication")] {
          add(
            "{\"ph\":\"M\",\"name\":\"thread_name\",\(process),\"tid\":\(stream),\"args\":{\"name\":"
              + "\"\(label)\"}}")
        }
      }
      for span in outcome.spans {
        add(
          "{\"ph\":\"X\",\"name\":\(Document.text(span.name).json),\"cat\":"
            + "\"\(span.part.rawValue)\",\"pid\":\(base + span.rank),"
            + "\"tid\":\(span.stream.rawValue),\"ts\":\(microseconds(span.start)),"
            + "\"dur\":\(microseconds(span.end - span.start)),"
            + "\"args\":{\"layer\":\(span.layer),\"micro_batch\":\(span.batch)}}")
      }
    }
    return text + "\n]}\n"
  }

  /// Microseconds with all their digits.
  private func microseconds(_ ticks: Ticks) -> String {
    let rest = String(ticks % 1_000_000)
    return "\(ticks / 1_000_000)." + String(repeating: "0", count: 6 - rest.count) + rest
  }
}
