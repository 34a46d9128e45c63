import EPIR
import EPModel
import EPPlan
import EPTestSupport

extension Mutation {
  /// A change of some function's schedule.
  private static func overlap(
    _ name: String,
    _ change: @escaping (inout LayerSchedule, ShardedFunction, inout SeededGenerator) -> Bool
  ) -> Mutation {
    Mutation(name) { plan, random in
      let places = plan.pools.indices.flatMap { pool in
        plan.pools[pool].functions.indices.filter {
          plan.pools[pool].functions[$0].schedule != nil
        }.map { (pool, $0) }
      }
      guard !places.isEmpty else { return .inapplicable }
      let (pool, function) = random.pick(places)
      let whole = plan.pools[pool].functions[function]
      guard var schedule = whole.schedule, change(&schedule, whole, &random) else {
        return .inapplicable
      }
      plan.pools[pool].functions[function].schedule = schedule
      return .damaging
    }
  }

  static var overlaps: [Mutation] {
    [
      .overlap("a period shorter than a stream is busy") { schedule, _, _ in
        schedule.period = schedule.busy(.compute) - 1
        return schedule.period > 0
      },
      .overlap("a bound above the period") { schedule, _, _ in
        schedule.lowerBound = schedule.period + 1
        return true
      },
      .overlap("a bound below what a stream is busy") { schedule, _, _ in
        schedule.recurrence = 0
        schedule.lowerBound = schedule.busy(.compute) - 1
        return schedule.lowerBound >= 0
      },
      .overlap("a recurrence above the bound") { schedule, _, _ in
        schedule.recurrence = schedule.lowerBound + 1
        return true
      },
      .overlap("two jobs of a stream at once") { schedule, _, random in
        let batch = random.below(schedule.starts.count)
        let jobs = schedule.jobs.indices.filter {
          schedule.jobs[$0].stream == .compute && schedule.jobs[$0].duration > 0
        }
        guard jobs.count > 1 else { return false }
        let first = random.below(jobs.count)
        let second = (first + 1 + random.below(jobs.count - 1)) % jobs.count
        schedule.starts[batch][jobs[first]] = schedule.starts[batch][jobs[second]]
        return true
      },
      .overlap("issue what is read last before what makes it") { schedule, _, _ in
        schedule.order.reverse()
        return schedule.order.count > 1
      },
      .overlap("issue an operation twice") { schedule, _, _ in
        guard schedule.order.count > 1 else { return false }
        schedule.order[0] = schedule.order[1]
        return true
      },
      .overlap("forget an operation") { schedule, _, _ in
        schedule.order.removeLast()
        return true
      },
      .overlap("forget an exchange") { schedule, _, random in
        let own = schedule.jobs.indices.filter { schedule.jobs[$0].stream == .communication }
        guard !own.isEmpty else { return false }
        let job = random.pick(own)
        schedule.jobs.remove(at: job)
        for batch in schedule.starts.indices { schedule.starts[batch].remove(at: job) }
        return true
      },
      .overlap("compute on the communication stream") { schedule, function, random in
        let own = schedule.jobs.indices.filter {
          function.streams[schedule.jobs[$0].operation] == .compute
        }
        guard !own.isEmpty else { return false }
        schedule.jobs[random.pick(own)].stream = .communication
        return true
      },
      .overlap("a job of no operation") { schedule, function, _ in
        guard !schedule.jobs.isEmpty else { return false }
        schedule.jobs[0].operation = function.streams.count
        return true
      },
      .overlap("forget a micro-batch") { schedule, _, _ in
        schedule.starts.removeLast()
        return true
      },
      .overlap("start an exchange before what it sends is there") { schedule, function, random in
        let dispatches = schedule.jobs.indices.filter {
          function.function.operations[schedule.jobs[$0].operation].kind == .combine
            && schedule.jobs[$0].stream == .communication
        }
        guard !dispatches.isEmpty else { return false }
        let batch = random.below(schedule.starts.count)
        schedule.starts[batch][random.pick(dispatches)] = 0
        return true
      },
      .pool("a wait for an operation issued later") { pool, random in
        guard
          let index = pool.functions.indices.first(where: {
            pool.functions[$0].function.operations.count > 1
          })
        else { return false }
        let order = pool.functions[index].issueOrder
        let place = random.below(order.count - 1)
        pool.functions[index].waits[order[place]].append(order[place + 1])
        return true
      },
      .pool("a pipeline's step before its lots are through") { pool, _ in
        guard let pipeline = pool.pipeline else { return false }
        pool.pipeline?.period = pipeline.least(returns: pool.role != .prefill) - 1
        return true
      },
      .pool("a stage of a pipeline without a time") { pool, _ in
        guard pool.pipeline != nil else { return false }
        pool.pipeline?.stages.removeLast()
        return true
      },
      .pool("no lots, or too many") { pool, random in
        guard pool.pipeline != nil else { return false }
        pool.pipeline?.lots = random.pick([0, -1, PipelineSchedule.mostLots + 1, .max])
        return true
      },
      .pool("a pipeline of one stage") { pool, _ in
        guard pool.mesh.pp == 1 else { return false }
        pool.pipeline = PipelineSchedule(lots: 1, stages: [1], returns: true)
        return true
      },
      .pool("other micro-batches than planned") { pool, random in
        pool.microBatches = random.pick([0, -1, 17, .max])
        return true
      },
    ]
  }
}
