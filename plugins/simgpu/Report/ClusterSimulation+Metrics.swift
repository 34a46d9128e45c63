internal import EPCost
internal import EPIR
internal import EPPlan

extension ClusterSimulation {
  /// The most ranks of a pool that metrics show one by one; of larger pools they show the least, the
  /// median and the most.
  private static let mostRanks = 1024

  /// The simulation's counters as Prometheus text.
  public var metrics: String {
    var page = MetricPage()
    page.family("epc_sim_step_seconds", "gauge", "Simulated seconds of a step.")
    for simulation in pools {
      let (role, outcome) = (simulation.pool.role.rawValue, simulation.outcome)
      page.sample("epc_sim_step_seconds", ["pool": role], outcome.stepSeconds)
      page.sample(
        "epc_sim_step_seconds", ["pool": role, "quantile": "0.99"],
        outcome.stepSeconds(percentile: 0.99))
    }
    page.family("epc_sim_steps_total", "counter", "Simulated steps.")
    for simulation in pools {
      page.sample(
        "epc_sim_steps_total", ["pool": simulation.pool.role.rawValue],
        Double(simulation.outcome.steps.count))
    }
    page.family("epc_sim_device_memory_bytes", "gauge", "Bytes allocated on a device.")
    for (simulation, memory) in zip(pools, memory) {
      let used = memory.devices.indices.map { Double(memory.used(by: $0)) }
      ranks("epc_sim_device_memory_bytes", simulation, [:], used, &page)
    }
    page.family(
      "epc_sim_stream_utilisation", "gauge", "Share of simulated time that a stream is in use.")
    for simulation in pools {
      let outcome = simulation.outcome
      ranks(
        "epc_sim_stream_utilisation", simulation, ["stream": "compute"], outcome.computeUse, &page)
      ranks(
        "epc_sim_stream_utilisation", simulation, ["stream": "communication"],
        outcome.communicationUse, &page)
    }
    page.family(
      "epc_sim_collective_seconds", "histogram",
      "Seconds of a collective from its last member's start to its last member's end.")
    for simulation in pools { collectives(simulation, &page) }
    page.family("epc_sim_balancedness", "gauge", "Mean over maximum of the ranks' routed rows.")
    page.family("epc_sim_hot_experts", "gauge", "Experts of a layer above twice the mean load.")
    page.family("epc_sim_cold_experts", "gauge", "Experts of a layer below half the mean load.")
    for simulation in pools {
      for layer in simulation.outcome.layers { experts(layer, simulation, &page) }
    }
    page.family(
      "epc_sim_errors_total", "counter", "What would have gone wrong on real devices, by kind.")
    for simulation in pools {
      let overflows = simulation.outcome.layers.reduce(0) { $0 + $1.overflows }
      page.sample(
        "epc_sim_errors_total",
        ["pool": simulation.pool.role.rawValue, "kind": "routed_capacity"], Double(overflows))
      for kind in FaultSchedule.Fault.Kind.allCases {
        let count = faults.filter { $0.fault.kind == kind && simulation.owns($0.fault.rank) }.count
        if count == 0 { continue }
        page.sample(
          "epc_sim_errors_total",
          ["pool": simulation.pool.role.rawValue, "kind": kind.rawValue], Double(count))
      }
    }
    return page.text
  }

  private func ranks(
    _ name: String, _ simulation: PoolSimulation, _ labels: KeyValuePairs<String, String>,
    _ values: [Double], _ page: inout MetricPage
  ) {
    let role = simulation.pool.role.rawValue
    let extra = labels.map { ($0.key, $0.value) }
    if values.count <= Self.mostRanks {
      for (rank, value) in values.enumerated() {
        page.sample(
          name, [("pool", role), ("rank", String(simulation.pool.firstRank + rank))] + extra, value)
      }
      return
    }
    let (least, median, most) = Text.spread(values)
    for (quantile, value) in [("0", least), ("0.5", median), ("1", most)] {
      page.sample(name, [("pool", role), ("quantile", quantile)] + extra, value)
    }
  }

  private func collectives(_ simulation: PoolSimulation, _ page: inout MetricPage) {
    let name = "epc_sim_collective_seconds"
    for part in OpEstimate.Part.allCases {
      guard let histogram = simulation.outcome.collectives[part] else { continue }
      let labels = [("pool", simulation.pool.role.rawValue), ("op", part.rawValue)]
      var sum = 0
      for (limit, count) in zip(PoolOutcome.Histogram.limits, histogram.counts) {
        sum += count
        page.sample(name + "_bucket", labels + [("le", "\(limit / 1e6)")], Double(sum))
      }
      page.sample(name + "_bucket", labels + [("le", "+Inf")], Double(histogram.count))
      page.sample(name + "_sum", labels, histogram.sum.seconds)
      page.sample(name + "_count", labels, Double(histogram.count))
    }
  }

  private func experts(
    _ layer: PoolOutcome.LayerLoad, _ simulation: PoolSimulation, _ page: inout MetricPage
  ) {
    let labels = [("pool", simulation.pool.role.rawValue), ("layer", String(layer.layer))]
    let mean = Double(layer.experts.reduce(0, +)) / Double(max(layer.experts.count, 1))
    page.sample("epc_sim_balancedness", labels, layer.balancedness)
    page.sample(
      "epc_sim_hot_experts", labels,
      Double(layer.experts.filter { Double($0) > 2 * mean }.count))
    page.sample(
      "epc_sim_cold_experts", labels,
      Double(layer.experts.filter { Double($0) < 0.5 * mean }.count))
  }
}

/// Prometheus text: families in the order they are declared, each with its samples.
private struct MetricPage {
  private var families: [(name: String, head: String, samples: [String])] = []

  mutating func family(_ name: String, _ kind: String, _ help: String) {
    families.append((name, "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n", []))
  }

  mutating func sample(_ name: String, _ labels: KeyValuePairs<String, String>, _ value: Double) {
    sample(name, labels.map { ($0.key, $0.value) }, value)
  }

  mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Double) {
    let list = labels.map { "\($0)=\"\($1)\"" }.joined(separator: ",")
    let family = families.lastIndex { name.hasPrefix($0.name) } ?? families.count - 1
    let whole = Int(exactly: value).map(String.init)
    families[family].samples.append("\(name){\(list)} \(whole ?? "\(value)")\n")
  }

  var text: String {
    families.map { $0.samples.isEmpty ? "" : $0.head + $0.samples.joined() }.joined()
  }
}
