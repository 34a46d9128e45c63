public import EPModel

/// What `epc balance simulate` prints: policies over a trace, beside doing nothing and placing all
/// layers anew in every window.
public struct PolicyReport: Sendable {
  /// What was run, and how it went.
  public let outcomes: [(name: String, outcome: PolicyOutcome)]
  /// The simulation.
  public let simulation: PolicySimulation
  /// Windows of the trace.
  public let windows: Int
  private let slotCount: Int

  /// Replays a trace.
  public init(
    _ policies: [RebalancePolicy], over trace: LoadTrace, in simulation: PolicySimulation
  ) throws(PlacementError) {
    var outcomes: [(String, PolicyOutcome)] = []
    let all =
      [("nothing", RebalancePolicy(action: .nothing))]
      + policies.map { ($0.name, $0) } + [("placed anew", RebalancePolicy(action: .full))]
    for (name, policy) in all { outcomes.append((name, try simulation.run(policy, over: trace))) }
    self.outcomes = outcomes
    self.simulation = simulation
    windows = trace.windows.count
    slotCount = simulation.shape.slots * (trace.windows.first?.rows.count ?? 0)
  }

  /// A table for people.
  public var text: String {
    var table = TextTable(columns: [
      "policy", "balance", "worst", "split", "rebalances", "copied", "GiB", "steps",
      "worst step GiB",
    ])
    for (name, outcome) in outcomes {
      let share = Double(outcome.copies) / Double(max(slotCount * (windows - 1), 1))
      table.add([
        name, fixed(outcome.balance, 4), fixed(outcome.worstBalance, 4),
        fixed(outcome.splitBalance, 4), "\(outcome.rebalances)", fixed(share * 100, 1) + " %",
        gibibytes(outcome.bytes), "\(outcome.steps)", gibibytes(outcome.worstStepBytes),
      ])
    }
    return
      "\(windows) windows, each served by the placement made for those before it; 'copied' is the "
      + "part of all slots in a window,\n'split' the balance where tokens are split over replicas "
      + "batch by batch, 'worst step' what a rank receives or sends\n" + table.text
  }

  /// The same for programs.
  public var document: Document {
    .object([
      "windows": .int(windows), "slots": .int(slotCount),
      "policies": .list(
        outcomes.map { name, outcome in
          .object([
            "policy": .text(name), "balance": .real(outcome.balance),
            "worst_balance": .real(outcome.worstBalance),
            "split_balance": .real(outcome.splitBalance), "rebalances": .int(outcome.rebalances),
            "copies": .int(outcome.copies), "bytes": .int(outcome.bytes),
            "steps": .int(outcome.steps), "worst_step_bytes": .int(outcome.worstStepBytes),
          ])
        }),
    ])
  }
}

extension RebalancePolicy {
  /// One phrase: `5.0 % every 2, below 0.95`.
  public var name: String {
    var text =
      switch action {
      case .nothing: "nothing"
      case .full: "placed anew"
      case .partial(let budget): fixed(budget * 100, 1) + " %"
      }
    if period > 1 { text += " every \(period)" }
    if threshold < 1 { text += ", below \(fixed(threshold, 2))" }
    return text
  }
}
