internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

/// The kernels of calls, remembered.
extension PoolEvaluator {
  /// The kernels of one call of a function.
  func kernels(
    _ shape: PoolShape, _ form: Form, _ estimator: StepEstimator, _ call: StepLayout.Call,
    isAcross: Bool
  ) -> CallKernels {
    var key = CallKey(
      form: form.id, function: call.function,
      step: estimator.step.split(into: estimator.microBatches),
      endsOf: call.samples ? estimator.microBatches : nil, attention: shape.attention,
      isAcrossNodes: isAcross)
    func part(_ part: StepEstimator.CallPart) -> CallKernels {
      if let known = kernels[key] { return known }
      let made = CallKernels(
        estimator.kernels(
          function: call.function, layer: call.calls.first?.layers.first ?? -1, part: part,
          samples: call.samples,
          // What stages send and receive with is not the form's.
          outline: call.function < form.outlines.count ? form.outlines[call.function] : nil,
          times: times))
      kernels[key] = made
      return made
    }
    let local = part(.local)
    if call.function >= form.hasExperts.count || !form.hasExperts[call.function] { return local }
    key.exchange = ExchangeKey(
      ep: shape.mesh.ep, slotsPerRank: shape.slotsPerRank, isLowLatency: shape.isLowLatency)
    return local + part(.routed)
  }
}
