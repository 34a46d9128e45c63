import EPPlan
import EPTestSupport
import Testing

/// Pipelines that run as early as they can keep the period that their schedule says, and no shorter one.
@Suite struct PipelineTests {
  @Test(arguments: [true, false]) func stagesThatRunFreelyKeepThePeriod(returns: Bool) {
    var random = SeededGenerator(seed: 5)
    for _ in 0..<300 {
      let lots = 1 + random.below(6)
      let stages = (0..<(2 + random.below(5))).map { _ in 1 + random.below(50) }
      let pipeline = PipelineSchedule(lots: lots, stages: stages, returns: returns)
      #expect(pipeline.period == pipeline.least(returns: returns))
      // When each stage is free, and when each lot is back.
      var free = Array(repeating: 0, count: stages.count)
      var back = Array(repeating: 0, count: lots)
      var ends: [Int] = []
      for _ in 0..<60 {
        for lot in back.indices {
          var time = returns ? back[lot] : 0
          for (stage, duration) in stages.enumerated() {
            time = max(time, free[stage]) + duration
            free[stage] = time
          }
          back[lot] = time
        }
        ends.append(back[lots - 1])
      }
      #expect(ends[0] == pipeline.span)
      #expect(ends[59] - ends[39] == 20 * pipeline.period, "\(lots) lots in \(stages)")
      // The schedule's own times: no stage has two lots at once, and no lot starts before it is back.
      for (stage, duration) in stages.enumerated() {
        #expect(pipeline.interval >= duration)
        #expect(
          pipeline.starts[stage] + (lots - 1) * pipeline.interval + duration
            <= pipeline.starts[stage] + pipeline.period)
      }
      if returns { #expect(pipeline.period >= stages.reduce(0, +)) }
      let busy = Double(lots * stages.reduce(0, +))
      let bubble = 1 - busy / Double(pipeline.period * stages.count)
      #expect(abs(pipeline.bubble - bubble) < 1e-12 && pipeline.bubble >= 0)
    }
  }
}
