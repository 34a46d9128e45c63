internal import EPModel
public import EPPlan

/// What a layer's operations wait for, by operation, as flat lists: the longest way through a layer,
/// which no schedule is shorter than, in a fraction of the time that making its jobs takes.
///
/// What lies between two exchanges, waiting for one and waited for by the other, is computed one
/// operation after the other even where none of it waits for the rest: there is one compute stream.
public struct LayerPath: Sendable {
  /// The values that each operation reads, one after the other; `firsts` says where each begins.
  private var reads: [Int] = []
  private var firsts: [Int] = []
  private var writes: [Int] = []
  private var writeFirsts: [Int] = []
  /// The operation whose kernel computes this one too, where it has none of its own; else -1.
  private var leaders: [Int] = []
  private var values: Int
  /// The value that the layer before makes, and the one that the next reads; -1 without.
  private var carried = -1
  private var result = -1

  /// The operations between an exchange, or the layer's input, and a later exchange or its result.
  struct Stretch: Sendable {
    /// The exchange it begins behind; -1 for the input.
    var from: Int
    /// The operations, without exchanges at either end.
    var operations: [Int]
  }

  /// The operations that may be exchanges.
  private(set) var exchanges: [Int] = []
  /// For each of those the operations that neither wait for it nor are waited for by it.
  private(set) var besides: [[Int]] = []
  /// The stretches that end at each operation; last those that end at the result.
  private var stretches: [[Stretch]] = []
  /// The exchanges that each operation waits for, where none of several waits for another: they run
  /// one after the other, since there is one communication stream.
  private var joins: [[Int]] = []

  /// Makes the lists of a function.
  public init(_ sharded: ShardedFunction) {
    let function = sharded.function
    values = function.values.count
    for number in function.operations.indices {
      let operation = function.operations[number]
      firsts.append(reads.count)
      writeFirsts.append(writes.count)
      for case .value(let value) in operation.operands.map(\.reference) { reads.append(value) }
      writes += operation.results
      leaders.append(sharded.leader(of: number) ?? -1)
    }
    firsts.append(reads.count)
    writeFirsts.append(writes.count)
    if let port = function.parameters.first(where: { port in
      function.results.contains { $0.name == port.name }
    }), let end = function.results.first(where: { $0.name == port.name }) {
      (carried, result) = (port.value, end.value)
    }
    exchanges = function.operations.indices.filter { function.operations[$0].kind.isCollective }
    let order = Order(self)
    besides = exchanges.map { exchange in
      leaders.indices.filter {
        $0 != exchange && !order.reaches[$0][exchange] && !order.reaches[exchange][$0]
      }
    }
    joins = leaders.indices.map { number in
      let before = exchanges.filter { order.reaches[$0][number] }
      let last = before.filter { one in !before.contains { order.reaches[one][$0] } }
      return last.count > 1 ? last : []
    }
    stretches = Array(repeating: [], count: leaders.count + 1)
    guard carried >= 0 else { return }
    for end in exchanges + [leaders.count] {
      for start in [-1] + exchanges {
        let between = leaders.indices.filter {
          (start < 0 ? order.readsInput[$0] : order.reaches[start][$0])
            && (end == leaders.count ? order.makesResult[$0] : order.reaches[$0][end])
        }
        let follows = start < 0 || end == leaders.count || order.reaches[start][end]
        let ends = end < leaders.count || start < 0 || order.makesResult[start]
        if follows && ends && !between.isEmpty {
          stretches[end].append(Stretch(from: start, operations: between))
        }
      }
    }
  }

  /// Which operations wait for which, however indirectly.
  private struct Order {
    var reaches: [[Bool]]
    var readsInput: [Bool]
    var makesResult: [Bool]

    init(_ path: LayerPath) {
      let count = path.leaders.count
      reaches = Array(repeating: Array(repeating: false, count: count), count: count)
      readsInput = Array(repeating: false, count: count)
      makesResult = readsInput
      var writer = Array(repeating: -1, count: path.values)
      for number in path.leaders.indices {
        var before: [Int] = []
        if path.leaders[number] >= 0 {
          before = [path.leaders[number]]
        } else {
          for read in path.firsts[number]..<path.firsts[number + 1] {
            if path.reads[read] == path.carried { readsInput[number] = true }
            if writer[path.reads[read]] >= 0 { before.append(writer[path.reads[read]]) }
          }
        }
        for earlier in before {
          if readsInput[earlier] { readsInput[number] = true }
          reaches[earlier][number] = true
          for first in 0..<earlier where reaches[first][earlier] { reaches[first][number] = true }
        }
        for write in path.writeFirsts[number]..<path.writeFirsts[number + 1] {
          writer[path.writes[write]] = number
        }
      }
      guard path.result >= 0, writer[path.result] >= 0 else { return }
      let last = writer[path.result]
      for number in path.leaders.indices { makesResult[number] = reaches[number][last] }
      makesResult[last] = true
    }
  }

  /// How many operations there are.
  var operationCount: Int { leaders.count }

  /// Seconds from the arrival of a layer's input until its result is there, if nothing else ran;
  /// `seconds` are those of each operation's kernels, `computing` and `exchanging` those of either
  /// stream.
  func length(_ seconds: [Double], computing: [Double], exchanging: [Double]) -> Double {
    if carried < 0 { return 0 }
    var ready = Array(repeating: -Double.infinity, count: values)
    var ends = Array(repeating: -Double.infinity, count: leaders.count)
    func behind(_ place: Int) -> Double {
      var most = -Double.infinity
      for stretch in stretches[place] {
        let start = stretch.from < 0 ? 0 : ends[stretch.from]
        most = max(most, stretch.operations.reduce(start) { $0 + computing[$1] })
      }
      return most
    }
    ready[carried] = 0
    for number in leaders.indices {
      var end = -Double.infinity
      if seconds[number] <= 0, leaders[number] >= 0 {
        end = ends[leaders[number]]
      } else {
        for read in firsts[number]..<firsts[number + 1] { end = max(end, ready[reads[read]]) }
        if !stretches[number].isEmpty { end = max(end, behind(number)) }
        if let first = joins[number].first {
          var start = ends[first] - exchanging[first]
          var sum = 0.0
          for exchange in joins[number] {
            start = min(start, ends[exchange] - exchanging[exchange])
            sum += exchanging[exchange]
          }
          end = max(end, start + sum)
        }
        end += seconds[number]
      }
      ends[number] = end
      for write in writeFirsts[number]..<writeFirsts[number + 1] { ready[writes[write]] = end }
    }
    return max(ready[result], behind(leaders.count), 0)
  }
}

extension ShardedFunction {
  /// The first product of the same input with a weight of the same kind, among operations before:
  /// engines compute both with one kernel.
  func leader(of number: Int) -> Int? {
    let operation = function.operations[number]
    guard operation.kind == .linear, case .weight(let weight)? = operation.operand("weight") else {
      return nil
    }
    return function.operations.indices.prefix(number).first { other in
      let candidate = function.operations[other]
      guard candidate.kind == .linear, case .weight(let own)? = candidate.operand("weight") else {
        return false
      }
      return candidate.operand("x") == operation.operand("x")
        && candidate.attributes["contract"] == operation.attributes["contract"]
        && candidate.attributes["batch"] == operation.attributes["batch"]
        && function.weights[own].role == function.weights[weight].role
    }
  }
}
