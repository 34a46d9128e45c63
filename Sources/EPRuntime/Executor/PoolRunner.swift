public import EPBackend
internal import EPIR
internal import EPModel
public import EPPlan

/// The ranks of a pool that this process has, run in turn on one thread.
public final class PoolRunner<D: Device> {
  /// The pool.
  public let pool: Pool
  /// The ranks of this process, in order: all of them where there is only one process.
  public let ranks: [RankExecutor<D>]
  /// The pool, as an index into the plan's pools.
  let index: Int
  let processes: any ProcessGroup
  /// Where the caches of each layer are, in an order that is the same in all processes.
  let cachePlaces: [(key: CacheKey, place: CachePlace)]
  private var transport: any Transport
  /// The place of each rank of the pool in `ranks`; nil for those of other processes.
  private let placeOfRank: [Int?]
  /// How even the rows of batches were over ranks so far, by layer; unknown where other processes
  /// have some of the ranks.
  public private(set) var balance: [Int: RoutedBalance] = [:]

  /// Makes the ranks of a pool ready and loads their weights: all ranks, or those of a process.
  public init(
    _ plan: Plan, pool index: Int, device: D, weights: WeightStore,
    processes: any ProcessGroup = SingleProcess()
  ) throws(ExecutionError) {
    pool = plan.pools[index]
    self.index = index
    self.processes = processes
    transport = processes.makeTransport(pool: index)
    cachePlaces = CachePlace.all(of: plan, pool: index)
    let prepared = try PreparedPool(plan, pool: index, device: device)
    var ranks: [RankExecutor<D>] = []
    for rank in 0..<pool.mesh.ranks where processes.has(rank: rank, ofPool: index) {
      ranks.append(
        try RankExecutor(
          plan.instantiate(rank: rank, of: index), prepared: prepared, device: device,
          weights: weights, movesRows: transport.movesRows))
    }
    self.ranks = ranks
    var places = [Int?](repeating: nil, count: pool.mesh.ranks)
    for (place, rank) in ranks.enumerated() { places[rank.program.rank] = place }
    placeOfRank = places
  }

  /// Runs a step: one input for each data group.
  public func run(_ inputs: [StepInput]) throws(ExecutionError) -> [StepOutput] {
    precondition(inputs.count == pool.mesh.dp, "every data group has a step")
    for rank in ranks { try rank.begin(inputs[rank.program.coordinates.data]) }
    var ready = Array(ranks.indices.reversed())
    var finished = 0
    while finished < ranks.count {
      guard let next = ready.popLast() else {
        for rank in ranks { try rank.runAhead { () throws(ExecutionError) in try progress() } }
        ready = try places { () throws(BackendError) in try transport.wait() }
        if ready.isEmpty {
          throw .deadlock(ranks: ranks.filter(\.isWaiting).map(\.program.rank))
        }
        continue
      }
      guard let request = try ranks[next].resume() else {
        finished += 1
        continue
      }
      let rank = ranks[next].program.rank
      ready += try places { () throws(BackendError) in
        try transport.post(request, from: rank)
      }
    }
    var outputs: [StepOutput] = []
    for group in inputs.indices {
      outputs.append(try output(of: group, sampled: inputs[group].sampled))
    }
    if ranks.count == pool.mesh.ranks {
      for (layer, batches) in RoutedBalance.byLayer(ranks.map(\.batches)) {
        balance[layer, default: RoutedBalance()] += batches
      }
    }
    return outputs
  }

  private func progress() throws(ExecutionError) {
    do { try transport.progress() } catch { throw .backend(error) }
  }

  /// The places here of the ranks whose requests the transport has completed, the last first.
  private func places(
    _ complete: () throws(BackendError) -> [Int]
  ) throws(ExecutionError) -> [Int] {
    do { return try complete().reversed().compactMap { placeOfRank[$0] } } catch {
      throw .backend(error)
    }
  }

  /// Gives values of a rank to all processes.
  func share(_ rank: Int, _ values: () -> [Float]) throws(ExecutionError) -> [Float] {
    let own = placeOfRank[rank] == nil ? [] : values()
    do { return try processes.share(own, ofRank: rank, pool: index) } catch {
      throw .backend(error)
    }
  }

  /// The executor of a rank, if this process has it.
  func executor(_ rank: Int) -> RankExecutor<D>? { placeOfRank[rank].map { ranks[$0] } }

  /// Forgets a sequence.
  public func remove(sequence: Int) {
    for rank in ranks { rank.remove(sequence: sequence) }
  }

  private func output(of group: Int, sampled: [Int]) throws(ExecutionError) -> StepOutput {
    var output = StepOutput(logits: [], sampled: sampled, hidden: [])
    for batch in 0..<pool.parts {
      for rank in ranks { rank.select(batch) }
      try append(group, to: &output)
    }
    return output
  }

  /// Adds what the selected micro-batch of a data group made.
  private func append(_ group: Int, to output: inout StepOutput) throws(ExecutionError) {
    let first = (pool.mesh.pp - 1) * pool.mesh.stageRanks + group * pool.mesh.tp
    output.logits += try share(first) { executor(first)?.output("logits")?.place.floats ?? [] }
    for rank in first..<(first + pool.mesh.tp) {
      let hidden = try share(rank) {
        // Without tensor parallelism a rank has all rows, otherwise its own; it says which.
        guard let hidden = executor(rank)?.output("hidden") else { return [] }
        return [RowKind(hidden.type) == .tokens ? 1 : 0] + hidden.place.floats
      }
      guard let hasAll = hidden.first else { continue }
      output.hidden += hidden.dropFirst()
      if hasAll == 1 { break }
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

  /// The same of all processes' ranks; every process asks.
  func allTraffic() throws(ExecutionError) -> [Int: Traffic] {
    var sum: [Int: Traffic] = [:]
    for rank in 0..<pool.mesh.ranks {
      let numbers = try share(rank) {
        (executor(rank)?.traffic ?? [:]).sorted { $0.key < $1.key }.flatMap { layer, traffic in
          [
            layer, traffic.localRows, traffic.remoteRows, traffic.dispatchBytes,
            traffic.combineBytes,
          ]
          .flatMap { ExactParts.parts(of: $0) }
        }
      }
      let exact = ExactParts.numbers(numbers)
      for place in stride(from: 0, to: exact.count, by: 5) {
        var traffic = Traffic()
        (traffic.localRows, traffic.remoteRows) = (exact[place + 1], exact[place + 2])
        (traffic.dispatchBytes, traffic.combineBytes) = (exact[place + 3], exact[place + 4])
        sum[exact[place], default: Traffic()] += traffic
      }
    }
    return sum
  }
}

extension RankExecutor {
  /// Whether a request has been handed out and not been completed.
  var isWaiting: Bool {
    if case .nothing = pending { return false }
    return true
  }
}

/// Integers as reals that hold them exactly: three parts of 20 bits, the sign with the highest.
enum ExactParts {
  static func parts(of number: Int) -> [Float] {
    [Float(number >> 40), Float(number >> 20 & 0xF_FFFF), Float(number & 0xF_FFFF)]
  }

  static func numbers(_ parts: [Float]) -> [Int] {
    stride(from: 0, to: parts.count - 2, by: 3).map {
      Int(parts[$0]) << 40 | Int(parts[$0 + 1]) << 20 | Int(parts[$0 + 2])
    }
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
