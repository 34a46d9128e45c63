internal import EPJSON

extension PlacementBenchmark {
  /// One recorded strategy on one drift case.
  private struct Drift {
    var model: String
    var ranks: Int
    var replicas: Int
    var sigma: Double
    var strategy: String
    var copied: Double
    var next: Double

    func isSameCase(as other: Drift) -> Bool {
      model == other.model && ranks == other.ranks && sigma == other.sigma
    }
  }

  /// What a series of placements came to.
  private struct Outcome {
    var planned = 0.0
    var next = 0.0
    var nextSplit = 0.0
    var drawn = 0.0
    var copied = 0.0
    var seconds = 0.0
  }

  /// Rebalances with a tenth of the copies that placing anew takes; judged on the next window.
  public mutating func runDrift() throws(PlacementError) {
    let recorded = try read("drift.json") { (node: JSONNode) throws(JSONError) -> Drift in
      Drift(
        model: try node["model"].string(), ranks: try node["gpus"].int(in: 1...100_000),
        replicas: try node["replicas"].int(in: 1...1_000_000),
        sigma: try node["drift_sigma"].double(), strategy: try node["strategy"].string(),
        copied: try node["frac_slots_copied"].double(),
        next: try node["bal_next_window"].double())
    }
    var table = TextTable(columns: [
      "model", "ranks", "sigma", "strategy", "copied", "planned", "next", "drawn", "next, split",
      "ms",
    ])
    for scratch in recorded where scratch.strategy == "ds" {
      for other in recorded where other.isSameCase(as: scratch) {
        table.add(
          row(scratch, "recorded: \(other.strategy)")
            + [fixed(other.copied * 100, 1) + " %", "-", fixed(other.next, 4), "-", "-", "-"])
      }
      let name = "\(folder)/drift/\(scratch.model)_s\(scratch.sigma)_w"
      let trace = try LoadTrace(files: (0...6).map { "\(name)\($0).csv" })
      let shape = try PlacementShape(
        experts: trace.windows[0].experts,
        redundant: scratch.replicas - trace.windows[0].experts, ranks: scratch.ranks)
      let strategies: [(String, RebalancePolicy.Action, Rebalancer.Sharing)] = [
        ("ours: nothing", .nothing, .even), ("ours: placed anew", .full, .even),
        ("ours: a twentieth", .partial(budget: scratch.copied / 20), .even),
        ("ours: a tenth", .partial(budget: scratch.copied / 10), .even),
        ("ours: a fifth", .partial(budget: scratch.copied / 5), .even),
        ("ours, to split: a fortieth", .partial(budget: scratch.copied / 40), .split),
        ("ours, to split: a twentieth", .partial(budget: scratch.copied / 20), .split),
        ("ours, to split: a tenth", .partial(budget: scratch.copied / 10), .split),
      ]
      for (title, action, sharing) in strategies {
        let outcome = try replay(trace, shape, action, sharing, scratch.sigma)
        table.add(
          row(scratch, title) + [
            fixed(outcome.copied * 100, 1) + " %", fixed(outcome.planned, 4),
            fixed(outcome.next, 4), fixed(outcome.drawn, 4), fixed(outcome.nextSplit, 4),
            fixed(outcome.seconds * 1000, 0),
          ])
      }
    }
    add(
      "Drift: placed for w0, rebalanced on w1 to w5, judged on the next window; 'drawn' is over 100 "
        + "other windows that might have come next, 'split' splits the next one's tokens over replicas at no "
        + "copies", table)
  }

  private func row(_ drift: Drift, _ title: String) -> [String] {
    [drift.model, "\(drift.ranks)", "\(drift.sigma)", title]
  }

  private func replay(
    _ trace: LoadTrace, _ shape: PlacementShape, _ action: RebalancePolicy.Action,
    _ sharing: Rebalancer.Sharing, _ sigma: Double
  ) throws(PlacementError) -> Outcome {
    let balancer = try ExpertBalancer(shape: shape, threads: threads)
    var slots = try balancer.place(trace.windows[0]).map(\.slots)
    var outcome = Outcome()
    let rounds = trace.windows.count - 2
    for index in 1...rounds {
      let window = trace.windows[index]
      let start = now()
      var new = slots
      switch action {
      case .nothing: break
      case .full: new = try balancer.place(window).map(\.slots)
      case .partial(let part):
        let drift = Rebalancer.drift(from: trace.windows[index - 1], to: window)
        new = try Rebalancer(shape: shape, drift: drift, sharing: sharing).rebalance(
          slots, for: window, budget: Int(part * Double(shape.slots * slots.count))
        ).map(\.slots)
      }
      outcome.seconds += now() - start
      for layer in new.indices {
        outcome.copied += Double(shape.copies(from: slots[layer], to: new[layer]))
        let planned = shape.rankLoads(slots: new[layer], weights: window.rows[layer])
        let weights = trace.windows[index + 1].rows[layer]
        let next = shape.rankLoads(slots: new[layer], weights: weights)
        let mean = next.reduce(0, +) / Double(shape.ranks)
        outcome.planned += planned.reduce(0, +) / Double(shape.ranks) / (planned.max() ?? 1)
        outcome.next += mean / (next.max() ?? 1)
        outcome.drawn += drawnBalance(
          shape, new[layer], window.rows[layer], sigma, seed: UInt64(1000 * index + layer))
        outcome.nextSplit +=
          mean / (try TokenSplit(shape: shape, slots: new[layer]).shares(weights: weights).most)
      }
      slots = new
    }
    let layers = Double(rounds * slots.count)
    outcome.planned /= layers
    outcome.next /= layers
    outcome.nextSplit /= layers
    outcome.drawn /= layers
    outcome.copied /= layers * Double(shape.slots)
    outcome.seconds /= Double(rounds)
    return outcome
  }

  /// The balance on average over loads that drift on from the ones given as the recorded ones do:
  /// each by a factor whose logarithm is normally distributed.
  private func drawnBalance(
    _ shape: PlacementShape, _ slots: [Int], _ weights: [Double], _ sigma: Double, seed: UInt64
  ) -> Double {
    var random = SeededRandom(seed: seed)
    let draws = 100
    return (0..<draws).reduce(0) { sum, _ in
      let drawn = weights.map { $0 * exponential(sigma * random.normal()) }
      let loads = shape.rankLoads(slots: slots, weights: drawn)
      let mean = loads.reduce(0, +) / Double(shape.ranks)
      return sum + mean / (loads.max() ?? 1) / Double(draws)
    }
  }
}
