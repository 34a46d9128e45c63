internal import EPCost
internal import EPIR
internal import EPPlan

extension ClusterSimulation {
  /// The results as tables for people.
  public var text: String {
    pools.indices.map { text(of: $0) }.joined(separator: "\n")
      + (health?.findings ?? []).map { "health: \($0.text); \($0.outcome)\n" }.joined()
      + faults.map { "fault: \($0.text)\n" }.joined()
  }

  private func text(of number: Int) -> String {
    let (simulation, memory) = (pools[number], memory[number])
    let (pool, outcome) = (simulation.pool, simulation.outcome)
    let step = outcome.stepSeconds
    var rows: [(String, String)] = []
    var steps = "\(Text.milliseconds(step)) on average of \(outcome.steps.count)"
    if outcome.steps.count > 1 {
      steps +=
        ", \(Text.milliseconds(outcome.stepSeconds(percentile: 0.99))) at the 99th percentile"
    }
    rows.append(("step", steps))
    let rate = step > 0 ? Double(simulation.tokensPerStep) / step : 0
    rows.append(
      (
        "throughput",
        "\(Text.decimal(rate, digits: 0)) tokens/s, "
          + "\(Text.decimal(rate / Double(pool.mesh.ranks), digits: 0)) a device"
      ))
    let deviation = outcome.deviation
    rows.append(
      (
        "predicted",
        "\(Text.milliseconds(outcome.predicted)) by "
          + (outcome.isScheduled
            ? "the plan's schedule; " : "'epc estimate' with nothing overlapped; ")
          + "simulated \(deviation < 0 ? "-" : "+")\(Text.percent(deviation.magnitude))"
      ))
    rows.append(
      (
        "exposed communication",
        "\(Text.percent(outcome.exposedCommunication)) of the time the average rank computes nothing"
      ))
    for (name, use) in [
      ("compute stream", outcome.computeUse), ("communication stream", outcome.communicationUse),
    ] where !use.isEmpty {
      let (least, median, most) = Text.spread(use)
      rows.append(
        (
          name,
          "in use \(Text.percent(least)) / \(Text.percent(median)) / \(Text.percent(most)) "
            + "of the time (least, median, most of the ranks)"
        ))
    }
    let (least, median, most) = memory.spread
    rows.append(
      (
        "memory",
        "\(Text.gibibytes(least)) / \(Text.gibibytes(median)) / \(Text.gibibytes(most)) of "
          + "\(Text.gibibytes(memory.capacity)) (least, median, most)"
      ))
    if !outcome.layers.isEmpty {
      let worst = outcome.layers.min { $0.balancedness < $1.balancedness }
      rows.append(
        (
          "balancedness",
          "\(Text.decimal(outcome.balancedness, digits: 3)) mean over maximum of ranks' rows; worst "
            + "layer \(worst?.layer ?? 0) with "
            + Text.decimal(worst?.balancedness ?? 1, digits: 3)
        ))
      rows.append(("by layer", outcome.balancednessLine))
    }
    for part in OpEstimate.Part.allCases {
      guard let histogram = outcome.collectives[part], histogram.count > 0 else { continue }
      let mean = histogram.sum.seconds / Double(histogram.count)
      rows.append(
        (
          part.rawValue,
          "\(histogram.count) times, \(Text.decimal(mean * 1e6, digits: 1)) us from the last start; "
            + "longest wait for a peer "
            + "\(Text.decimal(histogram.longestWait.seconds * 1e6, digits: 1)) us"
        ))
    }
    for (name, text) in outcome.warnings { rows.append((name, text)) }
    let width = rows.reduce(0) { max($0, $1.0.count) } + 2
    let heading =
      "\(plan.model.name) \(pool.role.rawValue) on \(plan.cluster.name), \(pool.mesh), simulated\n"
    return heading
      + rows.map { name, value in
        "  " + name + String(repeating: " ", count: width - name.count) + value + "\n"
      }.joined()
  }
}

extension PoolOutcome {
  /// A bar for each layer with experts: empty at half of perfect balance or below.
  var balancednessLine: String {
    let bars = Array("\u{2581}\u{2582}\u{2583}\u{2584}\u{2585}\u{2586}\u{2587}\u{2588}")
    return String(
      layers.map { layer in
        let height = (layer.balancedness - 0.5) * 2 * Double(bars.count)
        return bars[max(0, min(bars.count - 1, Int(height)))]
      })
  }

  /// What would have gone wrong on real devices.
  var warnings: [(name: String, text: String)] {
    let full = layers.filter { $0.overflows > 0 }
    guard let worst = full.max(by: { $0.mostRows < $1.mostRows }) else { return [] }
    let factor = Double(worst.mostRows) / Double(max(worst.capacity, 1))
    return [
      (
        "overflow",
        "\(full.count) layer(s): a rank was sent \(worst.mostRows) rows in layer \(worst.layer), "
          + "and the plan has room for \(worst.capacity); compile with "
          + "\(Text.decimal((factor * 10).rounded(.up) / 10, digits: 1)) times the '--capacity-factor'"
      )
    ]
  }
}
