import EPSchedule
import Testing

/// Layers whose way through one micro-batch is nearly as long as what a stream is busy with both.
@Suite struct CrossingTests {
  /// A layer of decode: attention, a dispatch and a combine with kernels of their own at both ends,
  /// experts, and shared experts beside.
  private struct Layer {
    var attention: [Int]
    var dispatch: (hook: Int, ticks: Int)
    var experts: [Int]
    var combine: (hook: Int, ticks: Int)
    var shared: [Int]

    func body(takesTurns: Bool) -> LoopBody {
      var body = LoopBody()
      var core: [Int] = []
      for batch in 0..<2 {
        func chain(_ ticks: [Int], after before: [Int]) -> [Int] {
          var jobs = before
          for duration in ticks {
            let job = body.add(LoopBody.Job(duration: duration, resource: 0, batch: batch))
            for earlier in jobs { body.add(job, after: earlier) }
            jobs = [job]
          }
          return jobs
        }
        func exchange(_ hook: Int, _ ticks: Int, after before: [Int]) -> [Int] {
          let send = chain([hook], after: before)[0]
          let transfer = body.add(LoopBody.Job(duration: ticks, resource: 1, batch: batch))
          body.add(LoopBody.Dependency(from: send, to: transfer, delay: 0))
          let receive = body.add(LoopBody.Job(duration: hook, resource: 0, batch: batch))
          body.add(LoopBody.Dependency(from: transfer, to: receive, delay: ticks - hook))
          return [transfer, receive]
        }
        let first = body.jobs.count
        let routed = chain(attention, after: [])
        core.append(first + 1)
        let arrived = exchange(dispatch.hook, dispatch.ticks, after: routed)
        let computed = chain(experts, after: arrived)
        let sent = exchange(combine.hook, combine.ticks, after: computed)
        let beside = chain(shared, after: routed)
        let last = chain([2_118], after: sent + beside)
        body.add(first, after: last[0], distance: 1)
      }
      if takesTurns { body.add(core[1], after: core[0]) }
      return body
    }
  }

  /// Two micro-batches of Kimi K2 on 320 ranks and of DeepSeek-V3 on 128.
  private let layers = [
    Layer(
      attention: [54_082, 73_000, 61_956, 25_000, 25_000], dispatch: (26_703, 120_014),
      experts: [33_413, 4_756, 18_316], combine: (8_756, 182_413),
      shared: [991, 13_865, 3_703, 7_580]),
    Layer(
      attention: [80_000, 150_000, 52_017, 24_000, 16_000], dispatch: (42_720, 192_000),
      experts: [73_266, 8_952, 41_974], combine: (17_712, 369_000),
      shared: [1_959, 17_694, 4_256, 9_865]),
  ]

  @Test func twoMicroBatchesPassEachOther() throws {
    let gaps = [0.01, 0.01]
    for (number, layer) in layers.enumerated() {
      for takesTurns in [false, true] {
        let body = layer.body(takesTurns: takesTurns)
        for ordersAlike in [false, true] {
          let solver = LoopSolver(ordersAlike: ordersAlike)
          let schedule = try #require(solver.solve(body))
          #expect(schedule.problem(for: body) == nil, "layer \(number)")
          #expect(schedule.gap <= gaps[number], "layer \(number), alike \(ordersAlike)")
          #expect(solver.solve(body) == schedule, "layer \(number)")
        }
      }
    }
  }

  @Test func randomLayersRunInOneOrder() throws {
    var numbers = SeededNumbers(19)
    for seed in 0..<60 {
      func some(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &numbers) }
      let layer = Layer(
        attention: (0..<some(1...5)).map { _ in some(1...90_000) },
        dispatch: (some(0...40_000), some(40_000...200_000)),
        experts: (0..<some(1...3)).map { _ in some(1...80_000) },
        combine: (some(0...40_000), some(40_000...400_000)),
        shared: (0..<some(0...4)).map { _ in some(1...20_000) })
      guard layer.attention.count > 1 else { continue }
      let body = layer.body(takesTurns: seed % 2 == 0)
      let schedule = try #require(LoopSolver(ordersAlike: true).solve(body))
      #expect(schedule.problem(for: body) == nil, "seed \(seed)")
      let size = body.jobs.count / 2
      for resource in 0..<2 {
        let orders = (0..<2).map { batch in
          (0..<size).filter {
            body.jobs[$0].resource == resource && body.jobs[$0].duration > 0
          }.sorted { schedule.starts[batch * size + $0] < schedule.starts[batch * size + $1] }
        }
        #expect(orders[0] == orders[1], "seed \(seed)")
      }
    }
  }
}
