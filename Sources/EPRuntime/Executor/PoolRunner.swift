public import EPBackend
internal import EPIR
internal import EPModel
public import EPPlan

/// The ranks of a pool that are in this process, all of them or some, run in turn on one thread.
public final class PoolRunner<D: Device> {
  /// The pool.
  public let pool: Pool
  /// The ranks of this process, in order.
  public let ranks: [RankExecutor<D>]
  /// How even the rows of batches were over ranks so far, by layer; none where ranks of the pool are
  /// in other processes.
  public private(set) var balance: [Int: RoutedBalance] = [:]
  private var transport: any Transport
  private let place: ProcessPlace?

  /// Makes the ranks of a pool ready and loads their weights: all ranks, or those of a process.
  public init(
    _ plan: Plan, pool index: Int, device: D, weights: WeightStore, place: ProcessPlace? = nil
  ) throws(ExecutionError) {
    pool = plan.pools[index]
    self.place = place
    transport = place?.transport ?? InProcessTransport()
    let prepared = try PreparedPool(plan, pool: index, device: device)
    var ranks: [RankExecutor<D>] = []
    for rank in place?.ranks ?? 0..<pool.mesh.ranks {
      ranks.append(
        try RankExecutor(
          plan.instantiate(rank: rank, of: index), prepared: prepared, device: device,
          weights: weights))
    }
    self.ranks = ranks
  }

  /// Runs a step: one input for each data group.
  public func run(_ inputs: [StepInput]) throws(ExecutionError) -> [StepOutput] {
    precondition(inputs.count == pool.mesh.dp, "every data group has a step")
    for rank in ranks { try rank.begin(inputs[rank.program.coordinates.data]) }
    var ready = Array(ranks.indices.reversed())
    var finished = 0
    let first = ranks.first?.program.rank ?? 0
    while finished < ranks.count {
      guard let next = ready.popLast() else {
        let complete = try transported { () throws(BackendError) in try transport.wait() }
        if complete.isEmpty {
          throw .deadlock(ranks: ranks.filter(\.isWaiting).map(\.program.rank))
        }
        ready += complete.reversed().map { $0 - first }
        continue
      }
      guard let request = try ranks[next].resume() else {
        finished += 1
        continue
      }
      let complete = try transported { () throws(BackendError) in
        try transport.post(request, from: first + next)
      }
      ready += complete.reversed().map { $0 - first }
    }
    if place == nil {
      for (layer, batches) in RoutedBalance.byLayer(ranks.map(\.batches)) {
        balance[layer, default: RoutedBalance()] += batches
      }
    }
    return try outputs(inputs)
  }

  private func transported<T>(_ work: () throws(BackendError) -> T) throws(ExecutionError) -> T {
    do { return try work() } catch { throw .backend(error) }
  }

  /// Forgets a sequence.
  public func remove(sequence: Int) {
    for rank in ranks { rank.remove(sequence: sequence) }
  }

  /// What the data groups' steps made, whichever processes their ranks are in.
  private func outputs(_ inputs: [StepInput]) throws(ExecutionError) -> [StepOutput] {
    let last = ranks.filter { $0.program.coordinates.stage == pool.mesh.pp - 1 }
    var parts = last.map(RankOutput.init)
    if let place {
      var bytes: [UInt8] = []
      for part in parts { part.append(to: &bytes) }
      let all = try transported { () throws(BackendError) in try place.processes.gather(bytes) }
      parts = []
      for bytes in all {
        guard let read = RankOutput.all(in: bytes) else {
          throw .backend(.transport("another process sent results that cannot be read"))
        }
        parts += read
      }
    }
    return inputs.indices.map { group in
      var output = StepOutput(logits: [], sampled: inputs[group].sampled, hidden: [])
      let own = parts.filter { $0.data == group }
      output.logits = own.first?.logits ?? []
      for part in own {
        // Without tensor parallelism a rank has all rows, otherwise its own.
        output.hidden += part.hidden
        if part.hasAllRows { break }
      }
      return output
    }
  }

  /// States of a sequence that cannot be rolled back by position, to go back to.
  func snapshot(sequence: Int) -> [[[Storage]]] {
    ranks.map { $0.caches[sequence]?.snapshot() ?? [] }
  }

  /// Goes back to states of a sequence.
  func restore(_ snapshot: [[[Storage]]], sequence: Int) {
    for (rank, states) in zip(ranks, snapshot) { rank.caches[sequence]?.restore(states) }
  }

  /// Whether sequences have states that cannot be rolled back by position.
  var hasStates: Bool {
    pool.functions.contains { function in
      function.function.caches.contains { !$0.kind.growsWithContext }
    }
  }

  /// Rows and bytes that dispatch and combine of this process's ranks moved so far, by layer.
  public var traffic: [Int: Traffic] {
    ranks.reduce(into: [:]) { sum, rank in
      for (layer, traffic) in rank.traffic { sum[layer, default: Traffic()] += traffic }
    }
  }
}

extension RankExecutor {
  /// Whether a request has been handed out and not been completed.
  var isWaiting: Bool {
    if case .nothing = pending { return false }
    return true
  }
}

extension Memory {
  /// The elements as reals.
  var floats: [Float] {
    unsafe Array(UnsafeBufferPointer(start: UnsafePointer(reals), count: bytes / 4))
  }

  /// The elements as indices.
  var integers: [Int32] {
    unsafe Array(UnsafeBufferPointer(start: UnsafePointer(indices), count: bytes / 4))
  }
}
