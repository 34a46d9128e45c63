internal import EPIR
internal import EPModel

/// Which values of a function are alive together, over its schedule.
///
/// A value lives from the start of the operation that makes it to the end of the last that reads
/// it; a reshape lives in its operand's place and counts as it. Without a schedule operations follow
/// each other. Where there is one, values may share a place only if in every micro-batch the one is
/// done with before the other is made, so that reusing a place never makes an operation wait.
public struct Lifetimes: Sendable {
  /// For each value, the one that it is a reshape of, or itself.
  public let roots: [Int]
  /// When a value is made and last used, in the order of issue; parameters before all operations,
  /// results until after them.
  private let issue: [ClosedRange<Int>]
  /// The same in nanoseconds, by micro-batch.
  private let times: [[ClosedRange<Int>]]

  /// Works out the lifetimes of a function's values.
  public init(_ sharded: ShardedFunction) {
    let function = sharded.function
    let roots = sharded.roots
    let count = function.operations.count
    var position = Array(repeating: 0, count: count)
    for (place, number) in sharded.issueOrder.enumerated() { position[number] = place }
    var uses = Array(repeating: [Int](), count: function.values.count)
    var makers = Array(repeating: -1, count: function.values.count)
    for (number, operation) in function.operations.enumerated() {
      for value in operation.results {
        uses[roots[value]].append(number)
        if roots[value] == value { makers[value] = number }
      }
      for case .value(let value) in operation.operands.map(\.reference) {
        uses[roots[value]].append(number)
      }
    }
    let results = Set(function.results.map { roots[$0.value] })
    func lives(
      _ start: (Int) -> Int, _ end: (Int) -> Int, _ whole: ClosedRange<Int>
    ) -> [ClosedRange<Int>] {
      function.values.indices.map { value in
        let first = makers[value] < 0 ? whole.lowerBound : start(makers[value])
        var last = uses[value].reduce(first) { max($0, end($1)) }
        if results.contains(value) { last = max(last, whole.upperBound) }
        return first...last
      }
    }
    self.roots = roots
    issue = lives({ position[$0] }, { position[$0] }, -1...count)
    times =
      sharded.schedule.map { schedule in
        schedule.starts.map { starts in
          let (start, end) = schedule.times(of: function, starts)
          let all = (start.min() ?? 0)...max(end.max() ?? 0, start.min() ?? 0)
          return lives({ start[$0] }, { end[$0] }, all)
        }
      } ?? []
  }

  /// Whether one value is done with before the other is made, or the other way round.
  public func areApart(_ first: Int, _ second: Int) -> Bool {
    isBefore(first, second) || isBefore(second, first)
  }

  private func isBefore(_ first: Int, _ second: Int) -> Bool {
    issue[first].upperBound < issue[second].lowerBound
      && times.allSatisfy { $0[first].upperBound <= $0[second].lowerBound }
  }

  /// When a value is first there, in the order of issue.
  public func start(of value: Int) -> Int { issue[value].lowerBound }

  /// How many operations are issued while a value lives.
  public func length(of value: Int) -> Int { issue[value].count }

  /// The most bytes of values of which no two can share a place: no arena is smaller.
  ///
  /// All that are alive as a value is made live together with each other, in order of issue, or in the
  /// time of some micro-batch. To each of these sets come, from large to small, further values that
  /// can share a place with none of it.
  ///
  /// `sizes` are those of values that are roots.
  public func mostBytes(_ sizes: [Int]) -> Int {
    let own = roots.indices.filter { roots[$0] == $0 && sizes[$0] > 0 }
      .sorted { (sizes[$1], $0) < (sizes[$0], $1) }
    let isApart = own.map { value in own.map { areApart(value, $0) } }
    var most = 0
    func count(_ isAlive: (Int) -> Bool) {
      var together = own.indices.filter { isAlive(own[$0]) }
      for index in own.indices where !isAlive(own[index]) {
        if !together.contains(where: { isApart[index][$0] }) { together.append(index) }
      }
      most = max(most, together.reduce(0) { $0.saturatingSum(sizes[own[$1]]) })
    }
    for value in own {
      let made = issue[value].lowerBound
      count { issue[$0].lowerBound <= made && issue[$0].upperBound >= made }
      for times in times {
        let made = times[value].lowerBound
        count { times[$0].lowerBound <= made && times[$0].upperBound > made || $0 == value }
      }
    }
    return most
  }
}

extension Pool {
  /// Bytes that each value of a function takes in an arena, aligned.
  public func alignedBytes(of function: ShardedFunction) -> [Int] {
    let alignment = ShardedFunction.Buffer.alignment
    return function.function.values.indices.map {
      bufferBytes(of: $0, in: function).saturatingSum(alignment - 1) / alignment * alignment
    }
  }

  /// The most bytes that values of a function need at once: what no arena can be smaller than.
  public func leastArenaBytes(of function: ShardedFunction) -> Int {
    Lifetimes(function).mostBytes(alignedBytes(of: function))
  }
}
