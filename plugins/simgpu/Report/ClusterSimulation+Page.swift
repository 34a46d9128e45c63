internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

extension ClusterSimulation {
  /// The most jobs that a page shows; the earliest are shown.
  private static let mostSpans = 60_000
  /// The most ranks whose memory and loads a page shows one by one.
  private static let mostRanks = 4096

  /// The results as one page that needs no network: timeline, expert loads, rank loads, traffic,
  /// memory and collectives.
  public var page: String {
    let title = "\(plan.model.name) on \(plan.cluster.name)"
    let data = Document.object([
      "title": .text(title), "seed": .text(String(options.routing.seed)),
      "pools": .list(pools.indices.map { pageData(ofPool: $0) }),
    ])
    // A name in the plan must not be able to end the script.
    let json = data.json.replacing("<", with: "\\u003c")
    return ReportTemplate.head + "<title>" + ReportTemplate.escaped(title) + "</title>\n"
      + ReportTemplate.style + ReportTemplate.body + "<script>\nconst DATA = " + json + ";\n"
      + ReportTemplate.script + "</script>\n</body>\n</html>\n"
  }

  private func pageData(ofPool number: Int) -> Document {
    let (pool, outcome, memory) = (pools[number].pool, pools[number].outcome, memory[number])
    let step = outcome.stepSeconds
    let shown = min(pool.mesh.ranks, Self.mostRanks)
    return .object([
      "role": .text(pool.role.rawValue), "mesh": .text(pool.mesh.description),
      "ranks": .int(pool.mesh.ranks), "firstRank": .int(pool.firstRank),
      "steps": .list(outcome.steps.map { .real($0.seconds * 1e3) }),
      "step": .real(step * 1e3), "predicted": .real(outcome.predicted * 1e3),
      "predictedBy": .text(outcome.isScheduled ? "the schedule" : "the estimate, no overlap"),
      "deviation": .real(outcome.deviation),
      "p99": .real(outcome.stepSeconds(percentile: 0.99) * 1e3),
      "rate": .real(
        step > 0 ? Double(pools[number].tokensPerStep) / step / Double(pool.mesh.ranks) : 0),
      "exposed": .real(outcome.exposedCommunication),
      "balancedness": .real(outcome.balancedness),
      "compute": .list(outcome.computeUse.prefix(shown).map { .real(rounded($0)) }),
      "communication": .list(outcome.communicationUse.prefix(shown).map { .real(rounded($0)) }),
      "capacity": .int(memory.capacity),
      "memory": .list(
        memory.devices.prefix(shown).map { device in
          .object(device.map { Document.Field(name: $0.name, value: .int($0.bytes)) })
        }),
      "layers": .list(
        outcome.layers.map { layer in
          .object([
            "layer": .int(layer.layer), "balancedness": .real(rounded(layer.balancedness)),
            "most": .int(layer.mostRows), "capacity": .int(layer.capacity),
            "experts": .ints(layer.experts), "ranks": .ints(Array(layer.ranks.prefix(shown))),
          ])
        }),
      "traffic": .list(outcome.traffic.map { .ints($0) }),
      "collectives": .list(
        OpEstimate.Part.allCases.compactMap { part in
          outcome.collectives[part].map { histogram in
            .object([
              "name": .text(part.rawValue), "counts": .ints(histogram.counts),
              "mean": .real(histogram.sum.seconds / Double(max(histogram.count, 1)) * 1e6),
              "wait": .real(histogram.longestWait.seconds * 1e6),
            ])
          }
        }),
      "warnings": .texts(outcome.warnings.map { "\($0.name): \($0.text)" }),
      "timeline": timeline(outcome),
    ])
  }

  /// Spans as short rows: rank, stream, part, name, layer, micro-batch, start and length in ns.
  private func timeline(_ outcome: PoolOutcome) -> Document {
    var names: [String] = []
    var known: [String: Int] = [:]
    let ranks = Set(outcome.spans.map(\.rank)).sorted()
    let parts = OpEstimate.Part.allCases
    let first = outcome.spans.reduce(Ticks.max) { Swift.min($0, $1.start) }
    let rows = outcome.spans.prefix(Self.mostSpans).map { span -> Document in
      if known[span.name] == nil {
        known[span.name] = names.count
        names.append(span.name)
      }
      return .ints([
        ranks.firstIndex(of: span.rank) ?? 0, span.stream.rawValue,
        parts.firstIndex(of: span.part) ?? 0, known[span.name] ?? 0, span.layer, span.batch,
        (span.start - first).nanoseconds, (span.end - span.start).nanoseconds,
      ])
    }
    return .object([
      "ranks": .ints(ranks), "names": .texts(names), "parts": .texts(parts.map(\.rawValue)),
      "spans": .list(rows), "omitted": .int(max(outcome.spans.count - Self.mostSpans, 0)),
    ])
  }

  private func rounded(_ share: Double) -> Double { (share * 1e5).rounded() / 1e5 }
}
