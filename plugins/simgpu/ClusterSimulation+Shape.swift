public import EPCost
public import EPIR
public import EPPlan

/// What steps of a pool take that are smaller than the plan's, each shape simulated once.
///
/// Shapes are rounded up, eight sizes an octave, so that a run of many steps meets few of them. Streams
/// run in the plan's order, whatever a step's size.
public final class ShapedSteps {
  /// The pool.
  public let pool: Pool
  private let estimator: StepEstimator
  private let options: SimulationOptions
  private var known: [StepShape: Double] = [:]

  /// Makes steps of a plan's pool, by the routing of some options.
  public init(
    _ plan: Plan, pool index: Int, model: CostModel, options: SimulationOptions
  ) {
    pool = plan.pools[index]
    estimator = StepEstimator(
      plan.pools[index], precision: plan.model.precision, model: model,
      devicesPerNode: plan.cluster.devicesPerNode)
    self.options = options
  }

  /// Shapes simulated so far.
  public var count: Int { known.count }

  /// Seconds of a step.
  public func seconds(of shape: StepShape) throws(Diagnostics) -> Double {
    if let seconds = known[shape] { return seconds }
    var estimator = estimator
    estimator.step = shape
    let seconds = try PoolSimulation.steadyStep(estimator, options: options).stepSeconds
    known[shape] = seconds
    return seconds
  }

  /// The next size at or above: eight an octave.
  public static func size(atLeast count: Double) -> Double {
    if count <= 8 { return max(count.rounded(.up), 1) }
    let octave = Double(sign: .plus, exponent: count.exponent - 3, significand: 1)
    return (count / octave).rounded(.up) * octave
  }
}

extension PoolSimulation {
  /// A step of a pool by the routing of some options, one of many: the first, which fills pipelines and
  /// which all ranks start together, does not count.
  public static func steadyStep(
    _ estimator: StepEstimator, options: SimulationOptions
  ) throws(Diagnostics) -> PoolOutcome {
    var options = options
    (options.steps, options.resampling, options.probedSteps) = (2, 0, 0)
    options.probes = []
    options.keepsTraffic = false
    options.faults = FaultSchedule()
    let simulation = try PoolSimulation(estimator, options: options)
    simulation.step()
    simulation.step()
    return simulation.outcome
  }
}
