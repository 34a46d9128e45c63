internal import EPCost
internal import EPIR
internal import EPPlan
internal import EPSchedule

/// Prices steps of one shape of pools, as `StepEstimator.overlapPlan(.auto)` does, from remembered
/// kernels: a way to run a step is scheduled only where its bound leaves it a chance.
final class StepPricer {
  /// The pool without a step.
  let estimator: StepEstimator
  let layout: StepLayout
  /// What exchanges may do to compute: a choice of multiprocessors each.
  let contentions: [Contention]
  /// The same as factors.
  let factors: [ContentionFactors]
  /// The factors of kernels that nothing slows down.
  let alone: ContentionFactors
  /// The most rows of a rank for its exchanges.
  let mostRows: Double
  /// Whether steps may be cut at all.
  let cuts: Bool
  /// The way through the layers of each function.
  let paths: [LayerPath]
  /// What each call of the layout is, without what only few need.
  let calls: [Call]
  /// Kernels of one part of a step, so many of which it has, in one of the calls.
  let kernels: (StepShape, Int, Int) -> Kernels
  /// The times of a layer's best schedule.
  let times: (Int, LayerLoop) -> LayerLoop.Times?

  init(
    estimator: StepEstimator, layout: StepLayout, mostRows: Double, cuts: Bool,
    paths: [LayerPath], calls: [Call],
    kernels: @escaping (StepShape, Int, Int) -> Kernels,
    times: @escaping (Int, LayerLoop) -> LayerLoop.Times?
  ) {
    (self.estimator, self.layout, self.paths, self.calls) = (estimator, layout, paths, calls)
    (self.mostRows, self.cuts, self.kernels, self.times) = (mostRows, cuts, kernels, times)
    let hardware = estimator.model.hardware
    contentions = estimator.contentions(over: StepEstimator.exchangeMultiprocessors)
    factors = contentions.map { ContentionFactors($0, on: hardware) }
    alone = ContentionFactors(nil, on: hardware)
  }

  /// A call of a stage.
  struct Call {
    var function: Int
    /// How many times it runs, for one micro-batch.
    var layers: Double
    /// Its first layer; -1 of none.
    var layer: Int
    /// Whether it ends the last stage with logits that are sampled from.
    var samples: Bool
  }

  /// The kernels of a call: what does not depend on experts' ranks, and what does.
  struct Kernels {
    var local: CallKernels
    var routed: CallKernels?

    var all: [TimedKernel] { routed.map { local.kernels + $0.kernels } ?? local.kernels }
    var seconds: Double { local.price.seconds + (routed?.price.seconds ?? 0) }
    var sums: KindSeconds {
      var sums = local.sums
      if let routed { sums.add(routed.sums) }
      return sums
    }
  }

  /// A number of micro-batches, with the kernels of each call.
  private struct Cut {
    var count: Int
    var kernels: [Kernels]
  }

  /// Whether a step has a token for each of so many micro-batches.
  private func allows(_ step: StepShape, _ count: Int) -> Bool {
    count == 1 || cuts && Double(count * layout.lots) <= step.tokens
  }

  /// Whether micro-batches so many of which are the step have no more rows than exchanges take.
  private func holds(_ step: StepShape, _ count: Int) -> Bool {
    step.tokens / Double(estimator.pool.mesh.tp * count * layout.lots) <= mostRows
  }

  private func made(_ step: StepShape, into count: Int) -> Cut {
    let parts = count * layout.lots
    return Cut(count: count, kernels: calls.indices.map { kernels(step, parts, $0) })
  }

  /// Nil where the step has too few tokens, or micro-batches too many rows.
  private func cut(_ step: StepShape, into count: Int) -> Cut? {
    allows(step, count) && holds(step, count) ? made(step, into: count) : nil
  }

  /// Seconds of a step whose repeated layers take what `layer` says, all micro-batches of all layers of
  /// a call; others, and those of which it says nothing, run one kernel after the other.
  private func price(_ cut: Cut, _ layer: (Call, Kernels) -> Double?) -> Double {
    layout.seconds { index in
      let (call, made) = (calls[index], cut.kernels[index])
      if call.layers > 1, let seconds = layer(call, made) { return seconds }
      return made.seconds * (call.layers * Double(cut.count))
    }
  }

  private func serial(_ cut: Cut) -> Double { price(cut) { _, _ in nil } }

  /// Seconds that no schedule is shorter than, for each contention.
  private func bounds(_ cut: Cut) -> [(contention: Contention, seconds: Double)] {
    let layers = calls.indices.map { index in
      calls[index].layers > 1
        ? paths[calls[index].function].bounds(
          cut.kernels[index].all, microBatches: cut.count, contentions: contentions,
          hardware: estimator.model.hardware) : []
    }
    return contentions.indices.map { way in
      let seconds = layout.seconds { index in
        let call = calls[index]
        if way < layers[index].count, layers[index][way] < .infinity {
          return layers[index][way] * call.layers
        }
        return cut.kernels[index].seconds * (call.layers * Double(cut.count))
      }
      return (contentions[way], seconds)
    }
  }

  /// Seconds with the best schedules.
  private func scheduled(_ cut: Cut, _ contention: Contention) -> Double {
    price(cut) { call, kernels in
      let loop = LayerLoop(
        estimator.pool.functions[call.function], kernels: kernels.all, microBatches: cut.count,
        contention: contention, hardware: estimator.model.hardware)
      if !loop.communicates { return nil }
      return times(call.function, loop).map { loop.price($0, layers: call.layers).seconds }
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

  /// What is known of a step without its bounds.
  struct Rough {
    /// Seconds one kernel after the other, in one batch; nil where its rows are too many.
    var serial: Double?
    /// Seconds that this step takes at least, and every one that has as much of everything.
    var floor: Double
  }

  /// What is fast to say of a step; nil where kernels do not allow it.
  ///
  /// Kernels never take less with more of anything (`TimeSurface`), and what holds of sums and longest
  /// ways of them holds of larger steps. So no number of micro-batches may be left out because this
  /// step has too few tokens for it: a larger one has them.
  func rough(_ step: StepShape) -> Rough? {
    if !holds(step, cuts ? OverlapChoice.mostMicroBatches : 1) { return nil }
    var floor = Double.infinity
    for count in cuts ? Array(2...OverlapChoice.mostMicroBatches) : [] where holds(step, count) {
      let cut = made(step, into: count)
      for factors in factors { floor = min(floor, busy(cut, factors)) }
    }
    guard holds(step, 1) else { return Rough(serial: nil, floor: floor) }
    let one = made(step, into: 1)
    let serial = serial(one)
    if min(serial, busy(one, alone)) < floor {
      let path = price(one) { call, kernels in
        let seconds = paths[call.function].least(
          kernels.all, hardware: estimator.model.hardware)
        return seconds < .infinity ? seconds * call.layers : nil
      }
      floor = min(floor, serial, max(path, busy(one, alone)))
    }
    return Rough(serial: serial, floor: floor)
  }

  /// Seconds of a step whose repeated layers take what the busier stream does.
  private func busy(_ cut: Cut, _ factors: ContentionFactors) -> Double {
    price(cut) { call, kernels in
      let sums = kernels.sums
      let seconds = factors.busy(sums)
      // Durations of schedules are whole nanoseconds.
      let rounding = Double(sums.count * (cut.count + 1)) * 1e-9
      return seconds < .infinity
        ? max(0, seconds * Double(cut.count) - rounding) * call.layers : nil
    }
  }

  /// Seconds that the step takes at least; nil where kernels do not allow it.
  func bound(_ step: StepShape) -> Double? {
    guard let one = cut(step, into: 1) else { return boundOfMore(step, .infinity) }
    let serial = serial(one)
    let least = bounds(one).reduce(serial) { min($0, $1.seconds) }
    return boundOfMore(step, serial).map { min($0, least) } ?? least
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
