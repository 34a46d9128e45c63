public import EPBackend
internal import EPIR
internal import EPModel
public import EPPlan

/// All ranks of a pool in this process, run in turn on one thread.
public final class PoolRunner<D: Device> {
  /// The pool.
  public let pool: Pool
  /// The ranks, in order.
  public let ranks: [RankExecutor<D>]
  private var transport = InProcessTransport()

  /// Makes the ranks of a pool ready and loads their weights.
  public init(
    _ plan: Plan, pool index: Int, device: D, weights: WeightStore
  ) throws(ExecutionError) {
    pool = plan.pools[index]
    let prepared = try PreparedPool(plan, pool: index, device: device)
    var ranks: [RankExecutor<D>] = []
    for rank in 0..<pool.mesh.ranks {
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
    while let next = ready.popLast() {
      guard let request = try ranks[next].resume() else {
        finished += 1
        continue
      }
      do { ready += try transport.post(request, from: next).reversed() } catch {
        throw .backend(error)
      }
    }
    if finished < ranks.count {
      throw .deadlock(ranks: ranks.indices.filter { ranks[$0].isWaiting })
    }
    return inputs.indices.map { output(of: $0, sampled: inputs[$0].sampled) }
  }

  /// Forgets a sequence.
  public func remove(sequence: Int) {
    for rank in ranks { rank.remove(sequence: sequence) }
  }

  private func output(of group: Int, sampled: [Int]) -> StepOutput {
    let last = ranks.filter {
      $0.program.coordinates.stage == pool.mesh.pp - 1 && $0.program.coordinates.data == group
    }
    var output = StepOutput(logits: [], sampled: sampled, hidden: [])
    for batch in 0..<pool.microBatches {
      for rank in last { rank.select(batch) }
      if let logits = last.first?.output("logits") {
        output.logits += logits.place.floats
      }
      for rank in last {
        guard let hidden = rank.output("hidden") else { continue }
        // Without tensor parallelism a rank has all rows, otherwise its own.
        output.hidden += hidden.place.floats
        if RowKind(hidden.type) == .tokens { break }
      }
    }
    return output
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

  /// Rows and bytes that dispatch and combine moved so far, by layer.
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
