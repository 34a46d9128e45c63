internal import EPCost
internal import EPIR
internal import EPPlan
internal import EPSchedule

/// Prices steps of one shape of pools, as `StepEstimator.overlapPlan(.auto)` does, from remembered
/// kernels: a way to run a step is scheduled only where its bound leaves it a chance.
struct StepPricer {
  /// The pool without a step.
  let estimator: StepEstimator
  let layout: StepLayout
  /// What exchanges may do to compute: a choice of multiprocessors each.
  let contentions: [Contention]
  /// The most rows of a rank for its exchanges.
  let mostRows: Double
  /// Whether steps may be cut at all.
  let cuts: Bool
  /// The way through the layers of each function.
  let paths: [LayerPath]
  /// Kernels of one call and micro-batch, of an estimator with its step and micro-batches.
  let kernels: (StepEstimator, StepLayout.Call) -> CallKernels
  /// The times of a layer's best schedule.
  let times: (StepLayout.Call, LayerLoop) -> LayerLoop.Times?

  /// A number of micro-batches, with its kernels by stage and call.
  private struct Cut {
    var count: Int
    var kernels: [[CallKernels]]
  }

  private func estimator(_ step: StepShape) -> StepEstimator {
    var estimator = estimator
    estimator.step = step
    return estimator
  }

  /// Nil where the step has too few tokens, or micro-batches too many rows.
  private func cut(_ step: StepShape, into count: Int) -> Cut? {
    var estimator = estimator(step)
    if !estimator.allows(microBatches: count) || count > 1 && !cuts { return nil }
    let parts = count * layout.lots
    let rows = step.tokens / Double(estimator.pool.mesh.tp * parts)
    if rows > mostRows { return nil }
    estimator.microBatches = parts
    return Cut(
      count: count,
      kernels: layout.stages.map { stage in stage.map { kernels(estimator, $0) } })
  }

  /// Seconds of a step whose repeated layers take what `layer` says, for each of them; others, and
  /// those of which it says nothing, run one kernel after the other.
  private func price(_ cut: Cut, _ layer: (StepLayout.Call, [TimedKernel]) -> StepPrice?) -> Double
  {
    layout.price { call in
      let made = cut.kernels[call.stage][call.place]
      if call.layers > 1, let price = layer(call, made.kernels) { return price }
      var price = StepPrice()
      price.add(made.price, times: Double(call.layers * cut.count))
      return price
    }.seconds
  }

  private func serial(_ cut: Cut) -> Double { price(cut) { _, _ in nil } }

  /// Seconds of a step with each contention, of layers that take so much; nothing where infinite.
  private func seconds(_ cut: Cut, _ layer: (StepLayout.Call, [TimedKernel]) -> [Double])
    -> [Double]
  {
    let layers = cut.kernels.indices.map { stage in
      layout.stages[stage].map { call in
        call.layers > 1 ? layer(call, cut.kernels[stage][call.place].kernels) : []
      }
    }
    return contentions.indices.map { index in
      layout.price { call in
        var price = StepPrice()
        let each = layers[call.stage][call.place]
        if index < each.count && each[index] < .infinity {
          price.seconds = each[index] * Double(call.layers)
        } else {
          let made = cut.kernels[call.stage][call.place].price
          price.add(made, times: Double(call.layers * cut.count))
        }
        return price
      }.seconds
    }
  }

  /// Seconds that no schedule is shorter than, for each contention.
  private func bounds(_ cut: Cut) -> [(contention: Contention, seconds: Double)] {
    let seconds = seconds(cut) { call, kernels in
      paths[call.function].bounds(
        kernels, microBatches: cut.count, contentions: contentions,
        hardware: estimator.model.hardware)
    }
    return Array(zip(contentions, seconds))
  }

  /// Seconds with the best schedules.
  private func scheduled(_ cut: Cut, _ contention: Contention) -> Double {
    price(cut) { call, kernels in
      let loop = LayerLoop(
        estimator.pool.functions[call.function], kernels: kernels, microBatches: cut.count,
        contention: contention, hardware: estimator.model.hardware)
      if !loop.communicates { return nil }
      return times(call, loop).map { loop.price($0, layers: Double(call.layers)) }
    }
  }

  /// The fastest over multiprocessors, if any is faster than `limit`.
  private func best(_ cut: Cut, below limit: Double = .infinity) -> Double {
    var least = Double.infinity
    for way in bounds(cut).sorted(by: { $0.seconds < $1.seconds })
    where way.seconds < min(least, limit) {
      least = min(least, scheduled(cut, way.contention))
    }
    return least
  }

  /// What the kernels of one batch say of a step.
  struct OneBatch {
    /// Seconds one after the other.
    var serial: Double
    /// Seconds of one batch at least.
    var least: Double
    /// Seconds of any number of micro-batches at least, roughly.
    var rough: Double
  }

  /// The share of a whole batch's kernels that those of its micro-batches take at least, together.
  /// Parts take as long as the whole at best; tables that are blended are a little off that.
  static let splitting = 0.9

  /// What one batch takes; nil where kernels do not allow it.
  func oneBatch(_ step: StepShape) -> OneBatch? {
    guard let one = cut(step, into: 1) else { return nil }
    let serial = serial(one)
    let least = bounds(one).reduce(serial) { min($0, $1.seconds) }
    var rough = least
    if cuts && estimator(step).allows(microBatches: 2) {
      rough = busy(one).reduce(rough) { min($0, Self.splitting * $1) }
    }
    return OneBatch(serial: serial, least: least, rough: rough)
  }

  /// Seconds of a whole batch's kernels, beside other micro-batches and all behind another.
  private func busy(_ cut: Cut) -> [Double] {
    seconds(cut) { call, kernels in
      contentions.map {
        paths[call.function].busy(
          kernels, contention: $0, hardware: estimator.model.hardware)
      }
    }
  }

  /// Seconds that the step takes at least, given what one batch does; nil where kernels do not allow
  /// it.
  func bound(_ step: StepShape, _ one: OneBatch?) -> Double? {
    guard let one else { return boundOfMore(step, .infinity) }
    return boundOfMore(step, one.serial).map { min($0, one.least) } ?? one.least
  }

  private func boundOfMore(_ step: StepShape, _ serial: Double) -> Double? {
    guard let two = cut(step, into: 2) else { return nil }
    let least = bounds(two).reduce(Double.infinity) { min($0, $1.seconds) }
    // More are tried only where two are faster than one.
    if least >= serial { return serial }
    guard let three = cut(step, into: 3) else { return least }
    return bounds(three).reduce(least) { min($0, $1.seconds) }
  }

  /// What one batch takes at least, where two micro-batches take so much less that its schedule need
  /// not be known.
  private func hopeless(_ one: Cut, _ step: StepShape, _ serial: Double) -> Double? {
    let least = bounds(one).reduce(Double.infinity) { min($0, $1.seconds) }
    let limit = min(least, serial) / OverlapChoice.worthwhile
    guard let two = cut(step, into: 2), bounds(two).contains(where: { $0.seconds < limit }),
      best(two, below: limit) < limit
    else { return nil }
    return least
  }

  /// Seconds of the step and the way to run it; nil where kernels do not allow it.
  func seconds(_ step: StepShape) -> (seconds: Double, overlap: OverlapChoice)? {
    var ways: [(seconds: Double, overlap: OverlapChoice)] = []
    if let one = cut(step, into: 1) {
      let serial = serial(one)
      ways = [(serial, .none), (hopeless(one, step, serial) ?? best(one), .microBatches(1))]
    }
    for count in 2...OverlapChoice.mostMicroBatches {
      guard let more = cut(step, into: count) else { break }
      let least = ways.map(\.seconds).min() ?? .infinity
      let seconds = best(more, below: least)
      ways.append((seconds, .microBatches(count)))
      if seconds >= least { break }
    }
    return OverlapPlan.preferred(ways.map(\.seconds)).map { ways[$0] }
  }
}
