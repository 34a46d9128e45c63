internal import EPIR
internal import EPModel
internal import EPPlan

extension StepEstimator {
  /// How much the first and the last micro-batch of an uneven step are smaller and larger than an even
  /// part.
  public static let unevenness = [0.125, 0.25, 0.5]

  /// The nanoseconds that a layer of a function takes at least if the micro-batches of a step are not
  /// of equal size: its busier stream at the best of some `unevenness`. Nil for a function that no
  /// layers share.
  public func leastPeriod(
    ofUneven function: Int, microBatches count: Int, multiprocessors: Int?
  ) -> Int? {
    let layout = StepLayout(pool)
    guard count > 1, let call = layout.stages.joined().first(where: { $0.function == function })
    else { return nil }
    var contention = Contention()
    if let share = multiprocessors { contention.exchangeMultiprocessors = share }
    var even = self
    even.step = step.part(Double(count * layout.lots))
    even.microBatches = 1
    // Layers run by the schedule of a middling one.
    let estimates = call.calls.flatMap { even.estimate(call: $0, stage: call.stage) }
      .sorted { $0.serial.value < $1.serial.value }
    let layers = estimates[estimates.count / 2].layers
    return Self.unevenness.map { difference in
      var busy = [ShardedFunction.Stream: Int]()
      for part in 0..<count {
        let size = part == 0 ? 1 - difference : part == count - 1 ? 1 + difference : 1
        var estimator = even
        estimator.step = step.part(Double(count * layout.lots) / size)
        let loop = LayerLoop(
          pool.functions[function],
          estimate: estimator.estimate(function: function, layers: layers), microBatches: count,
          contention: contention, hardware: model.hardware)
        for job in loop.jobs { busy[job.stream, default: 0] += job.duration }
      }
      return busy.values.max() ?? 0
    }.min()
  }
}
