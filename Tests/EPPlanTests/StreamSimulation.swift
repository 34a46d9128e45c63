import EPModel
import EPPlan
import EPTestSupport

/// A slow oracle, independent of the verifier: runs a function's two streams in random legal
/// interleavings over an arena of symbolic bytes, and tells whether any operation could read
/// something other than the value it names.
struct StreamSimulation {
  private let sharded: ShardedFunction
  private let edges: [Int]
  private let views: [Int]

  init(_ sharded: ShardedFunction) {
    self.sharded = sharded
    edges = Array(Set(sharded.buffers.flatMap { [$0.offset, $0.offset + $0.bytes] })).sorted()
    var views = Array(sharded.function.values.indices)
    for operation in sharded.function.operations where operation.kind == .reshape {
      guard case .value(let x)? = operation.operand("x"), let result = operation.results.first,
        sharded.buffers[x] == sharded.buffers[result]
      else { continue }
      views[result] = views[x]
    }
    self.views = views
  }

  /// Whether one of `runs` interleavings reads a wrong value.
  func canGoWrong(runs: Int, _ random: inout SeededGenerator) -> Bool {
    for _ in 0..<runs where goesWrong(&random) { return true }
    return false
  }

  private func spans(_ value: Int) -> Range<Int> {
    let buffer = sharded.buffers[value]
    guard let low = edges.firstIndex(of: buffer.offset),
      let high = edges.firstIndex(of: buffer.offset + buffer.bytes)
    else { return 0..<0 }
    return low..<high
  }

  private func goesWrong(_ random: inout SeededGenerator) -> Bool {
    let operations = sharded.function.operations
    var arena = Array(repeating: -1, count: edges.count)
    var queues: [[Int]] = [[], []]
    for number in sharded.issueOrder { queues[sharded.streams[number].rawValue].append(number) }
    var next = [0, 0]
    var running: [Int?] = [nil, nil]
    var finished = Array(repeating: false, count: operations.count)
    var made = Set(sharded.function.parameters.map(\.value))
    func write(_ value: Int) { for span in spans(value) { arena[span] = views[value] } }
    func isIntact(_ value: Int) -> Bool { spans(value).allSatisfy { arena[$0] == views[value] } }
    func values(_ number: Int) -> [Int] {
      operations[number].operands.compactMap { operand in
        if case .value(let value) = operand.reference { return value } else { return nil }
      }
    }
    for parameter in sharded.function.parameters { write(parameter.value) }
    // One stream runs ahead of the other by a random preference, so that races come out.
    let preferred = random.below(3)
    var left = operations.count
    while left > 0 {
      var moves: [(stream: Int, finishes: Bool)] = []
      for stream in 0..<2 {
        if running[stream] != nil {
          moves.append((stream, true))
        } else if next[stream] < queues[stream].count,
          sharded.waits[queues[stream][next[stream]]].allSatisfy({ finished[$0] })
        {
          moves.append((stream, false))
        }
      }
      if moves.isEmpty { return true }
      var move = random.pick(moves)
      if !random.once(in: 4), let wanted = moves.first(where: { $0.stream == preferred }) {
        move = wanted
      }
      if !move.finishes {
        let number = queues[move.stream][next[move.stream]]
        next[move.stream] += 1
        running[move.stream] = number
        for value in values(number) where !made.contains(value) || !isIntact(value) { return true }
        for value in operations[number].results { write(value) }
      } else if let number = running[move.stream] {
        for value in values(number) where !isIntact(value) { return true }
        for value in operations[number].results {
          if !isIntact(value) { return true }
          made.insert(value)
        }
        finished[number] = true
        running[move.stream] = nil
        left -= 1
      }
    }
    return !sharded.function.results.allSatisfy { made.contains($0.value) && isIntact($0.value) }
  }
}
