internal import EPIR
internal import EPModel
internal import EPPlan
internal import EPSchedule

extension StepEstimator {
  /// How much the first and the last micro-batch of an uneven step are smaller and larger than an even
  /// part.
  public static let unevenness = [0.125, 0.25, 0.5]

  /// The nanoseconds that a layer of a function takes at least if the micro-batches of a step are not
  /// of equal size, at the best of some differences: what its busier stream does, and the way through
  /// the larger part of a layer. Nil for a function that no layers share.
  public func leastPeriod(
    ofUneven function: Int, microBatches count: Int, multiprocessors: Int?,
    by differences: [Double] = StepEstimator.unevenness
  ) -> Int? {
    differences.compactMap {
      unevenBody(
        of: function, by: $0, microBatches: count, multiprocessors: multiprocessors)?.bounds?.period
    }.min()
  }

  /// A layer of a function in micro-batches of which the first is smaller than an even part by a share,
  /// and the last larger.
  func unevenBody(
    of function: Int, by difference: Double, microBatches count: Int, multiprocessors: Int?
  ) -> LoopBody? {
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
    return LayerLoop.body(
      of: (0..<count).map { part in
        let size = part == 0 ? 1 - difference : part == count - 1 ? 1 + difference : 1
        var estimator = even
        estimator.step = step.part(Double(count * layout.lots) / size)
        return LayerLoop(
          pool.functions[function],
          estimate: estimator.estimate(function: function, layers: layers), microBatches: count,
          contention: contention, hardware: model.hardware)
      })
  }
}
