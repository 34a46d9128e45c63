/// When and how much to rebalance while loads drift.
public struct RebalancePolicy: Hashable, Sendable {
  /// What is done when the time has come.
  public enum Action: Hashable, Sendable {
    /// Nothing, ever.
    case nothing
    /// All layers are placed anew, as engines do.
    case full
    /// At most this part of the slots gets another expert.
    case partial(budget: Double)
  }

  /// What is done.
  public var action: Action
  /// Windows between two looks at the loads.
  public var period: Int
  /// Act only if the mean balance of the layers is below this.
  public var threshold: Double
  /// How replicas share tokens: what placements are searched for, and what the threshold is of.
  public var sharing: Rebalancer.Sharing

  /// Makes a policy.
  public init(
    action: Action, period: Int = 1, threshold: Double = 1, sharing: Rebalancer.Sharing = .even
  ) {
    self.action = action
    self.sharing = sharing
    self.period = max(period, 1)
    self.threshold = threshold
  }
}

/// What a policy did over a trace.
public struct PolicyOutcome: Hashable, Sendable {
  /// Mean balance over windows and layers, each window with the placement made for earlier ones,
  /// replicas sharing evenly.
  public var balance: Double
  /// The same when every window's tokens are split over replicas as evenly as can be.
  public var splitBalance: Double
  /// The lowest mean balance of a window.
  public var worstBalance: Double
  /// How often something was moved.
  public var rebalances: Int
  /// Experts copied to a rank, in all.
  public var copies: Int
  /// Bytes copied, in all.
  public var bytes: Int
  /// Steps that copies were spread over, in all.
  public var steps: Int
  /// The most bytes a rank had to receive or send in one step.
  public var worstStepBytes: Int
}

/// Replays a trace under policies.
public struct PolicySimulation: Sendable {
  /// The slots.
  public let shape: PlacementShape
  /// Bytes of an expert.
  public let expertBytes: Int
  /// The most bytes a rank may receive or send in a step; full rebalancing does not keep to it.
  public let bytesPerStep: Int

  /// Makes a simulation.
  public init(shape: PlacementShape, expertBytes: Int, bytesPerStep: Int) {
    self.shape = shape
    self.expertBytes = expertBytes
    self.bytesPerStep = bytesPerStep
  }

  /// Runs a policy: places for the first window, then judges each placement on the next window.
  public func run(
    _ policy: RebalancePolicy, over trace: LoadTrace
  ) throws(PlacementError) -> PolicyOutcome {
    guard trace.windows.count > 1 else { throw .shape("a policy needs a trace of two windows") }
    let balancer = try ExpertBalancer(shape: shape)
    var slots = try balancer.place(trace.windows[0]).map(\.slots)
    var outcome = PolicyOutcome(
      balance: 0, splitBalance: 0, worstBalance: 1, rebalances: 0, copies: 0, bytes: 0, steps: 0,
      worstStepBytes: 0)
    for index in 1..<trace.windows.count {
      let window = trace.windows[index]
      let (even, split) = try judge(slots, window, &outcome)
      let balance = policy.sharing == .split ? split : even
      if policy.action == .nothing || index % policy.period != 0 || balance >= policy.threshold {
        continue
      }
      let next: [[Int]]
      switch policy.action {
      case .nothing: next = slots
      case .full: next = try balancer.place(window).map(\.slots)
      case .partial(let part):
        let drift = Rebalancer.drift(from: trace.windows[index - 1], to: window)
        let budget = Int(max(part, 0) * Double(shape.slots * slots.count))
        next = try Rebalancer(shape: shape, drift: drift, sharing: policy.sharing)
          .rebalance(slots, for: window, budget: budget).map(\.slots)
      }
      let isFull = policy.action == .full
      let migration = try shape.migration(
        from: slots, to: next, expertBytes: expertBytes,
        bytesPerStep: isFull ? .max : bytesPerStep)
      if migration.copies == 0 { continue }
      outcome.rebalances += 1
      outcome.copies += migration.copies
      outcome.bytes += migration.bytesInNodes + migration.bytesBetweenNodes
      outcome.steps += migration.steps.count
      outcome.worstStepBytes = max(outcome.worstStepBytes, migration.worstStepBytes)
      slots = migration.slots
    }
    let windows = Double(trace.windows.count - 1)
    outcome.balance /= windows
    outcome.splitBalance /= windows
    return outcome
  }

  /// Adds a window's balances to the outcome: the means with even shares and with split batches.
  private func judge(
    _ slots: [[Int]], _ window: ExpertLoads, _ outcome: inout PolicyOutcome
  ) throws(PlacementError) -> (even: Double, split: Double) {
    var even = 0.0
    var split = 0.0
    for (row, weights) in zip(slots, window.rows) {
      let loads = shape.rankLoads(slots: row, weights: weights)
      let mean = loads.reduce(0, +) / Double(shape.ranks)
      let most = loads.max() ?? 0
      even += most > 0 ? mean / most : 1
      let best = try TokenSplit(shape: shape, slots: row).shares(weights: weights).most
      split += best > 0 ? min(mean / best, 1) : 1
    }
    even /= Double(slots.count)
    split /= Double(slots.count)
    outcome.balance += even
    outcome.splitBalance += split
    outcome.worstBalance = min(outcome.worstBalance, even)
    return (even, split)
  }
}
