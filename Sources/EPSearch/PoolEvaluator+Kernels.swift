internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

/// The kernels of one kind of call, by what a step's part has.
final class KernelLine {
  struct Part: Hashable {
    var step: StepShape
    /// The parts of the step where logits end: what is spent once a step is shared by them.
    var endsOf: Int
  }

  var made: [Part: CallKernels] = [:]
}

/// The kernels of calls, remembered.
extension PoolEvaluator {
  /// Where the kernels of calls are remembered: what does not depend on experts' ranks, and what does.
  func lines(
    of calls: [StepPricer.Call], _ shape: PoolShape, _ form: Form, isAcross: Bool
  ) -> [(local: KernelLine, routed: KernelLine?)] {
    func line(_ key: LineKey) -> KernelLine {
      if let known = lines[key] { return known }
      let line = KernelLine()
      lines[key] = line
      return line
    }
    return calls.map { call in
      var key = LineKey(
        form: form.id, function: call.function, samples: call.samples, attention: shape.attention,
        isAcrossNodes: isAcross)
      let local = line(key)
      if call.function >= form.hasExperts.count || !form.hasExperts[call.function] {
        return (local, nil)
      }
      key.exchange = ExchangeKey(
        ep: shape.mesh.ep, slotsPerRank: shape.slotsPerRank, isLowLatency: shape.isLowLatency)
      return (local, line(key))
    }
  }

  /// The kernels of one of so many parts of a step in a call.
  func kernels(
    _ lines: (local: KernelLine, routed: KernelLine?), _ planner: CallPlanner, samples: Bool,
    _ step: StepShape, _ parts: Int
  ) -> StepPricer.Kernels {
    let key = KernelLine.Part(step: step.split(into: parts), endsOf: samples ? parts : 0)
    func kernels(_ line: KernelLine, _ part: CallPlanner.Part) -> CallKernels {
      if let known = line.made[key] { return known }
      let made = planner.kernels(part, of: step, parts: parts, samples: samples)
      line.made[key] = made
      return made
    }
    return StepPricer.Kernels(
      local: kernels(lines.local, .local), routed: lines.routed.map { kernels($0, .routed) })
  }
}
