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
  /// The first call of each kind.
  let kinds: [Call]
  /// Kernels of one part of a step, so many of which it has, in calls of one kind.
  let kernels: (StepShape, Int, Int) -> Kernels
  /// The times of a layer's best schedule.
  let times: (Int, LayerLoop) -> LayerLoop.Times?

  init(
    estimator: StepEstimator, layout: StepLayout, mostRows: Double, cuts: Bool,
    paths: [LayerPath], calls: [Call], kinds: [Call],
    kernels: @escaping (StepShape, Int, Int) -> Kernels,
    times: @escaping (Int, LayerLoop) -> LayerLoop.Times?
  ) {
    (self.estimator, self.layout, self.paths) = (estimator, layout, paths)
    (self.calls, self.kinds) = (calls, kinds)
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
    /// What it shares all but the number of layers with others of.
    var kind: Int

    /// Whether layers follow each other, so that there is a schedule.
    var repeats: Bool { layers > 1 }
  }

  /// The kernels of a call: what does not depend on experts' ranks, and what does.
  struct Kernels {
    private let local: CallKernels
    private let routed: CallKernels?
    /// What they take one after the other.
    let seconds: Double
    let sums: KindSeconds

    init(local: CallKernels, routed: CallKernels?) {
      (self.local, self.routed) = (local, routed)
      var (seconds, sums) = (local.price.seconds, local.sums)
      if let routed {
        seconds += routed.price.seconds
        sums.add(routed.sums)
      }
      (self.seconds, self.sums) = (seconds, sums)
    }

    var all: [TimedKernel] { routed.map { local.kernels + $0.kernels } ?? local.kernels }
  }

  /// A number of micro-batches, with the kernels of each kind of call.
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
    return Cut(count: count, kernels: kinds.indices.map { kernels(step, parts, $0) })
  }

  /// Nil where the step has too few tokens, or micro-batches too many rows.
  private func cut(_ step: StepShape, into count: Int) -> Cut? {
    allows(step, count) && holds(step, count) ? made(step, into: count) : nil
  }

  /// Seconds of a step whose repeated layers, all micro-batches of each, take what `layer` says of a kind of
  /// call; others, and those of which it says nothing, run one kernel after the other.
  private func price(_ cut: Cut, _ layer: (_ kind: Int) -> Double?) -> Double {
    let layers = kinds.indices.map { kinds[$0].repeats ? layer($0) : nil }
    return layout.seconds { index in
      let call = calls[index]
      return layers[call.kind].map { $0 * call.layers } ?? serial(cut, call)
    }
  }

  private func serial(_ cut: Cut, _ call: Call) -> Double {
    cut.kernels[call.kind].seconds * (call.layers * Double(cut.count))
  }

  private func serial(_ cut: Cut) -> Double { layout.seconds { serial(cut, calls[$0]) } }

  /// Seconds that no schedule is shorter than, for each contention.
  private func bounds(_ cut: Cut) -> [(contention: Contention, seconds: Double)] {
    let layers = kinds.indices.map { kind in
      kinds[kind].repeats
        ? paths[kinds[kind].function].bounds(
          cut.kernels[kind].all, microBatches: cut.count, contentions: contentions,
          hardware: estimator.model.hardware) : []
    }
    return contentions.indices.map { way in
      let seconds = price(cut) { kind in
        layers[kind][way] < .infinity ? layers[kind][way] : nil
      }
      return (contentions[way], seconds)
    }
  }

  /// Seconds with the best schedules.
  private func scheduled(_ cut: Cut, _ contention: Contention) -> Double {
    let loops = kinds.map { call -> (loop: LayerLoop, times: LayerLoop.Times)? in
      if !call.repeats { return nil }
      let loop = LayerLoop(
        estimator.pool.functions[call.function], kernels: cut.kernels[call.kind].all,
        microBatches: cut.count, contention: contention, hardware: estimator.model.hardware)
      if !loop.communicates { return nil }
      return times(call.function, loop).map { (loop, $0) }
    }
    return layout.seconds { index in
      let call = calls[index]
      guard let (loop, times) = loops[call.kind] else { return serial(cut, call) }
      return loop.price(times, layers: call.layers).seconds
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
      let path = price(one) { kind in
        let seconds = paths[kinds[kind].function].least(
          one.kernels[kind].all, hardware: estimator.model.hardware)
        return seconds < .infinity ? seconds : nil
      }
      floor = min(floor, serial, max(path, busy(one, alone)))
    }
    return Rough(serial: serial, floor: floor)
  }

  /// Seconds of a step whose repeated layers take what the busier stream does.
  private func busy(_ cut: Cut, _ factors: ContentionFactors) -> Double {
    price(cut) { kind in
      let seconds = factors.busy(cut.kernels[kind].sums)
      // Durations of schedules are whole nanoseconds.
      let rounding = Double(cut.kernels[kind].sums.count * (cut.count + 1)) * 1e-9
      return seconds < .infinity ? max(0, seconds * Double(cut.count) - rounding) : nil
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
