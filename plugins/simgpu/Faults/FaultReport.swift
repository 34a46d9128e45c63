internal import CEPSimulation
internal import EPIR
public import EPModel
internal import EPPlan

/// What a run noticed to be wrong, and what became of it.
public struct FaultReport: Hashable, Sendable {
  /// What happened.
  public var fault: FaultSchedule.Fault
  /// Where: the operation and layer that waited for the rank, or what told on it.
  public var place: String
  /// Seconds from the fault until it was noticed.
  public var noticedAfter: Double
  /// How the run went on; nil where it did not, or did not have to.
  public var recovery: Recovery?

  /// How a run goes on without a rank.
  public struct Recovery: Hashable, Sendable {
    /// Who takes over: the survivors, or a spare device.
    public var by: String
    /// Bytes of weights that the busiest device loads.
    public var loadedBytes: Int
    /// Seconds of loading them.
    public var loading: Double
    /// Tokens whose keys and values are computed again.
    public var recomputedTokens: Int
    /// Seconds of computing them.
    public var recomputing: Double

    /// Makes an account of a recovery.
    public init(
      by: String, loadedBytes: Int, loading: Double, recomputedTokens: Int, recomputing: Double
    ) {
      self.by = by
      self.loadedBytes = loadedBytes
      self.loading = loading
      self.recomputedTokens = recomputedTokens
      self.recomputing = recomputing
    }

    /// Seconds from noticing until steps go on.
    public var seconds: Double { loading + recomputing }
  }

  /// Makes a report.
  public init(
    fault: FaultSchedule.Fault, place: String, noticedAfter: Double, recovery: Recovery? = nil
  ) {
    self.fault = fault
    self.place = place
    self.noticedAfter = noticedAfter
    self.recovery = recovery
  }

  /// The report as plain data.
  public var document: Document {
    .object([
      "kind": .text(fault.kind.rawValue), "rank": .int(fault.rank), "step": .int(fault.step),
      "place": .text(place), "cause": .text(fault.cause),
      "noticed_after_ms": .real(noticedAfter * 1e3),
      "recovery": recovery.map { recovery in
        .object([
          "by": .text(recovery.by), "loaded_bytes": .int(recovery.loadedBytes),
          "loading_ms": .real(recovery.loading * 1e3),
          "recomputed_tokens": .int(recovery.recomputedTokens),
          "recomputing_ms": .real(recovery.recomputing * 1e3),
          "recovery_ms": .real(recovery.seconds * 1e3),
        ])
      },
    ])
  }

  /// One line for people.
  public var text: String {
    var text =
      "rank \(fault.rank), step \(fault.step), \(place): \(fault.cause); noticed after "
      + Text.milliseconds(noticedAfter)
    if let recovery {
      text +=
        "; \(recovery.by) took over in \(Text.milliseconds(recovery.seconds)): weights of "
        + "\(Text.gibibytes(recovery.loadedBytes)) in \(Text.milliseconds(recovery.loading)), "
        + "\(recovery.recomputedTokens) tokens computed again in "
        + Text.milliseconds(recovery.recomputing)
    }
    return text
  }
}

extension PoolSimulation {
  /// Sets the pace of ranks and links for a step.
  func apply(_ faults: [FaultSchedule.Fault], step: Int) {
    let held = faults.filter { $0.holds(in: step) && owns($0.rank) }
    for (stage, clocks) in clocks.enumerated() {
      let first = pool.firstRank + stage * clocks.ranks
      func paces(_ kind: FaultSchedule.Fault.Kind) -> Numbers<UInt32>? {
        let own = held.filter { $0.kind == kind && (first..<(first + clocks.ranks)) ~= $0.rank }
        if own.isEmpty { return nil }
        let paces = Numbers<UInt32>(repeating: EPC_PACE_ONE, count: clocks.ranks)
        for fault in own {
          let pace = UInt32(fault.factor * Double(EPC_PACE_ONE))
          paces[fault.rank - first] = Swift.max(paces[fault.rank - first], pace)
        }
        return paces
      }
      clocks.pace = paces(.slowRank)
      clocks.linkPace = paces(.slowLink)
    }
  }

  /// Whether a rank of the cluster is one of the pool's.
  func owns(_ rank: Int) -> Bool {
    rank >= pool.firstRank && rank < pool.firstRank + pool.mesh.ranks
  }

  /// Slow ranks that the step just run gave away: those whose kernels took much longer than the
  /// median's, and those whose links did.
  func slowRanks(_ faults: [FaultSchedule.Fault], step: Int) -> [FaultReport] {
    let seconds = outcome.steps.last?.seconds ?? 0
    return faults.filter { $0.holds(in: step) && $0.step == step && owns($0.rank) }.compactMap {
      (fault) -> FaultReport? in
      let stage = (fault.rank - pool.firstRank) / pool.mesh.stageRanks
      let rank = (fault.rank - pool.firstRank) % pool.mesh.stageRanks
      switch fault.kind {
      case .slowRank:
        let busy = clocks[stage].busySinceMark
        let median = busy.sorted()[busy.count / 2]
        guard Double(busy[rank]) > 1.1 * Double(median) else { return nil }
        let ratio = Double(busy[rank]) / Double(Swift.max(median, 1))
        return FaultReport(
          fault: fault,
          place: "kernels take \(Text.decimal(ratio, digits: 2)) times the median's",
          noticedAfter: seconds)
      case .slowLink:
        guard let routing = stages[stage].routings.first else { return nil }
        let felt = clocks[stage].felt(routing.into).array
        let ratio = Double(felt[rank]) / Double(Swift.max(felt.sorted()[felt.count / 2], 1))
        guard ratio > 1.1 else { return nil }
        return FaultReport(
          fault: fault,
          place:
            "its links are in use \(Text.decimal(ratio, digits: 2)) times as long as the median's",
          noticedAfter: seconds)
      case .lostRank, .hungCollective, .deviceError: return nil
      }
    }
  }

  /// Runs a step up to the collective that waits for a lost rank for ever, and gives its name.
  func stepLosing(_ rank: Int) -> String {
    let stage = (rank - pool.firstRank) / pool.mesh.stageRanks
    // Of the collectives that meet others, one in the middle; the first of its call if it meets none.
    var meetings: [(call: Int, issued: Int, isRouted: Bool)] = []
    for (number, call) in stages[stage].calls.enumerated() {
      let jobs = stages[stage].lists[call.list].jobs
      for (issued, next) in call.order.enumerated() where jobs[next.job].meetsOthers {
        meetings.append((number, issued, !call.routings.isEmpty))
      }
    }
    let routed = meetings.filter(\.isRouted)
    let open = routed.isEmpty ? meetings : routed
    let stop = open.isEmpty ? (call: 0, issued: 0, isRouted: false) : open[open.count / 2]
    let call = stages[stage].calls[stop.call]
    let issue = call.order.indices.contains(stop.issued) ? call.order[stop.issued] : nil
    let job = issue.map { stages[stage].lists[call.list].jobs[$0.job] }
    step(until: (stage, stop.call, stop.issued))
    let layer = issue.map { call.layers[$0.layer] } ?? -1
    return "'\(job?.name ?? "step")'" + (layer >= 0 ? " of layer \(layer)" : "")
  }
}
