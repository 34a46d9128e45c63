internal import EPIR
internal import EPModel

// Schedules: whole, in an order that data and streams allow, in all micro-batches and layers.
extension PoolVerifier {
  /// The order of issue has every operation once and goes with waits; tables have the right sizes.
  mutating func verifyIssue(_ index: Int) {
    let sharded = pool.functions[index]
    let count = sharded.function.operations.count
    let place = ".functions[\(index)].schedule"
    if let schedule = sharded.schedule {
      let time = 0...LayerSchedule.mostNanoseconds
      let isSound =
        schedule.order.sorted() == Array(0..<count)
        && schedule.jobs.count <= LayerSchedule.mostJobs
        && schedule.jobs.allSatisfy {
          (0..<count).contains($0.operation) && time.contains($0.duration)
        } && schedule.starts.count == pool.microBatches
        && schedule.starts.allSatisfy {
          $0.count == schedule.jobs.count && $0.allSatisfy(time.contains)
        } && time.contains(schedule.period) && time.contains(schedule.lowerBound)
        && time.contains(schedule.recurrence)
      if !isSound {
        report(
          "schedule-tables",
          "order, jobs or starts do not fit \(count) operations in \(pool.microBatches) "
            + "micro-batches", place)
        return
      }
    }
    var position = Array(repeating: -1, count: count)
    for (place, number) in sharded.issueOrder.enumerated() { position[number] = place }
    for (number, waits) in sharded.waits.enumerated() {
      for earlier in waits
      where !position.indices.contains(earlier) || position[earlier] >= position[number] {
        report(
          "wait-order", "operation \(number) waits for \(earlier), which is not issued before it",
          ".functions[\(index)].waits")
        return
      }
    }
  }

  mutating func verifySchedule(_ index: Int) {
    guard let schedule = pool.functions[index].schedule else { return }
    let check = ScheduleCheck(pool.functions[index], schedule)
    if let problem = check.problem {
      report("schedule", problem, ".functions[\(index)].schedule")
    }
  }
}

/// Whether the times of a schedule can be kept.
private struct ScheduleCheck {
  let sharded: ShardedFunction
  let schedule: LayerSchedule
  /// The jobs of each operation.
  let own: [[Int]]
  /// The operation that makes each value.
  let writers: [Int: Int]

  init(_ sharded: ShardedFunction, _ schedule: LayerSchedule) {
    self.sharded = sharded
    self.schedule = schedule
    own = schedule.jobs(of: sharded.function.operations.count)
    var writers: [Int: Int] = [:]
    for (number, operation) in sharded.function.operations.enumerated() {
      for value in operation.results { writers[value] = number }
    }
    self.writers = writers
  }

  /// What cannot be kept, or nil.
  var problem: String? {
    if schedule.period < 1 { return "a period of \(schedule.period) ns" }
    for stream in ShardedFunction.Stream.allCases where schedule.busy(stream) > schedule.lowerBound
    {
      return
        "the bound of \(schedule.lowerBound) ns is below the \(schedule.busy(stream)) ns that a "
        + "stream is busy"
    }
    if schedule.recurrence > schedule.lowerBound || schedule.lowerBound > schedule.period {
      return "bounds of \(schedule.recurrence) and \(schedule.lowerBound) ns for a period of "
        + "\(schedule.period) ns"
    }
    return jobsProblem ?? overlapProblem ?? timesProblem
  }

  /// Jobs are on the streams of their operations, and every exchange has one.
  private var jobsProblem: String? {
    for (number, stream) in sharded.streams.enumerated() {
      let streams = own[number].map { schedule.jobs[$0].stream }
      if stream == .communication && !streams.contains(.communication) {
        return "operation \(number) communicates and has no job that does"
      }
      if stream == .compute && streams.contains(.communication) {
        return "operation \(number) computes and has a job that communicates"
      }
    }
    return nil
  }

  /// No stream has two jobs at once, in any layer.
  private var overlapProblem: String? {
    for stream in ShardedFunction.Stream.allCases {
      var busy: [(start: Int, end: Int, operation: Int)] = []
      for starts in schedule.starts {
        for (start, job) in zip(starts, schedule.jobs)
        where job.stream == stream && job.duration > 0 {
          let phase = start % schedule.period
          busy.append((phase, phase + job.duration, job.operation))
        }
      }
      busy.sort { ($0.start, $0.end) < ($1.start, $1.end) }
      for (job, next) in zip(busy, busy.dropFirst()) where job.end > next.start {
        return "operations \(job.operation) and \(next.operation) run at once on one stream"
      }
      if let first = busy.first, let last = busy.last, last.end > first.start + schedule.period {
        return "operation \(last.operation) runs into the next layer's"
      }
    }
    return nil
  }

  /// Operations start after what they read is there, wait for nothing longer than scheduled, and
  /// are issued on each stream as they start.
  private var timesProblem: String? {
    let function = sharded.function
    let carried = function.parameters.first { port in
      function.results.contains { $0.name == port.name }
    }
    var before: (starts: [Int], ends: [Int])?
    for starts in schedule.starts {
      let (start, end) = times(starts)
      for (number, operation) in function.operations.enumerated() {
        for case .value(let value) in operation.operands.map(\.reference) {
          if let writer = writers[value], end[writer] > start[number] {
            return "operation \(number) starts before operation \(writer) has ended, which it reads"
          }
          if value == carried?.value, let name = carried?.name,
            let result = function.results.first(where: { $0.name == name }),
            let writer = writers[result.value], end[writer] > start[number] + schedule.period
          {
            return "operation \(number) starts before the layer before has ended"
          }
        }
        for earlier in sharded.waits[number] where end[earlier] > start[number] {
          return "operation \(number) waits for operation \(earlier) longer than scheduled"
        }
      }
      if let problem = issueProblem(starts) { return problem }
      if let before {
        for (number, operation) in function.operations.enumerated()
        where operation.operands.contains(where: {
          if case .cache = $0.reference { true } else { false }
        }) && !takesTurns(number, before, (starts, start)) {
          return
            "operation \(number) starts before that of the micro-batch before, whose state it reads"
        }
      }
      before = (starts, end)
    }
    return nil
  }

  /// Whether each job of an operation starts after the same of the micro-batch before; one without jobs,
  /// after that as a whole.
  private func takesTurns(
    _ number: Int, _ before: (starts: [Int], ends: [Int]), _ now: (starts: [Int], operations: [Int])
  ) -> Bool {
    if own[number].isEmpty { return before.ends[number] <= now.operations[number] }
    return own[number].allSatisfy {
      before.starts[$0] + schedule.jobs[$0].duration <= now.starts[$0]
    }
  }

  private func times(_ starts: [Int]) -> (start: [Int], end: [Int]) {
    schedule.times(of: sharded.function, starts)
  }

  /// What sums up rows before a combine sends them is on the other stream and has no part in this.
  private func issueProblem(_ starts: [Int]) -> String? {
    var last: [ShardedFunction.Stream: (operation: Int, start: Int)] = [:]
    for number in schedule.order {
      let stream = sharded.streams[number]
      let jobs = own[number].filter { schedule.jobs[$0].stream == stream }
      guard let start = jobs.map({ starts[$0] }).min() else { continue }
      if let earlier = last[stream], earlier.start > start {
        return
          "operation \(number) is issued after operation \(earlier.operation) and starts before it"
      }
      last[stream] = (number, start)
    }
    return nil
  }
}
