import Testing

@testable import EPRuntime

/// The fewest bytes that any cache reads, against trying all of them.
@Suite struct ExpertTraceTests {
  /// The fewest experts read, over everything that a cache of `capacity` experts may keep after a step.
  private func fewest(_ steps: [[Int]], experts: Int, capacity: Int) -> Int {
    var reads: [Set<Int>: Int] = [[]: 0]
    for step in steps {
      var after: [Set<Int>: Int] = [:]
      for (kept, count) in reads {
        let all = kept.union(step)
        let count = count + all.count - kept.count
        for bits in 0..<(1 << experts) {
          let next = Set((0..<experts).filter { bits >> $0 & 1 == 1 })
          if next.count <= capacity, next.isSubset(of: all), count < after[next] ?? .max {
            after[next] = count
          }
        }
      }
      reads = after
    }
    return reads.values.min() ?? 0
  }

  @Test(arguments: 0..<30)
  func noCacheReadsLess(seed: Int) {
    var random = SmallGenerator(seed)
    let experts = Int.random(in: 2...5, using: &random)
    let capacity = Int.random(in: 0...experts, using: &random)
    let steps = (0..<Int.random(in: 1...9, using: &random)).map { _ in
      Array((0..<experts).shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)))
    }
    var trace = ExpertTrace()
    for step in steps { trace.add(first: 7, slots: step, held: 10, read: 6) }
    let best = trace.leastReads(capacity: 10 * capacity + Int.random(in: 0...9, using: &random))
    #expect(best == 6 * fewest(steps, experts: experts, capacity: capacity))
  }

  @Test func whatIsTooLongIsCut() {
    var trace = ExpertTrace()
    trace.add(first: 0, slots: [1], held: 5, read: 5)
    #expect(!trace.isCut && trace.leastReads(capacity: 0) == 5)
    trace.add(first: 0, slots: Array(repeating: 0, count: ExpertTrace.limit), held: 5, read: 5)
    #expect(trace.isCut)
  }
}
