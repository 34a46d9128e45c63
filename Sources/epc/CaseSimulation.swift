import EPBackendSimGPU
import EPCost
import EPIR
import EPPlacement
import EPPlan
import EPSearch
import Glibc

/// Runs the steps of measured cases on simulated devices.
///
/// Tokens draw their experts. The fullest rank is as far above the mean as the case's estimate takes it
/// to be, before batches add their own chance; where ranks are perfectly balanced, every expert gets
/// exactly its share.
struct CaseSimulation {
  private struct Balance: Hashable {
    var experts: Int
    var ranks: Int
    var slots: Int
    var ratio: Double
  }

  private var sigmas: [Balance: Double] = [:]

  /// Tokens a second and device, and mean over largest rows of expert ranks as they were drawn.
  mutating func run(
    _ prediction: MeasuredCase.Prediction
  ) throws(Diagnostics) -> ValidationReport.Simulated? {
    if prediction.steps.isEmpty { return nil }
    var seconds: [Double] = []
    var balancedness = 1.0
    for estimator in prediction.steps {
      var options = SimulationOptions(
        routing: RoutingSource(estimator.assumedBalancedness < 1 ? .drawn : .mean))
      options.routing.loads = try loads(of: estimator)
      options.threads = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
      let outcome = try PoolSimulation.steadyStep(estimator, options: options)
      seconds.append(outcome.stepSeconds)
      balancedness = outcome.balancedness
    }
    return ValidationReport.Simulated(rate: prediction.rate(seconds), balancedness: balancedness)
  }

  /// Popularities whose ranks, experts in order, are as unbalanced as the estimate assumes.
  private mutating func loads(of estimator: StepEstimator) throws(Diagnostics) -> LoadSource? {
    guard estimator.assumedBalancedness < 1, let placement = estimator.pool.placements.first else {
      return nil
    }
    let balance = Balance(
      experts: placement.experts, ranks: estimator.pool.mesh.ep, slots: placement.slotsPerRank,
      ratio: estimator.assumedBalancedness)
    let sigma: Double
    if let known = sigmas[balance] {
      sigma = known
    } else {
      do throws(PlacementError) { sigma = try Self.sigma(balance) } catch {
        throw Diagnostics("expert-loads", error.description)
      }
      sigmas[balance] = sigma
    }
    return .drawn(.lognormal(sigma: sigma), seed: 1)
  }

  /// The spread of lognormal popularities that comes to a ratio of mean to largest load.
  private static func sigma(_ balance: Balance) throws(PlacementError) -> Double {
    var (low, high) = (0.0, 4.0)
    for _ in 0..<24 {
      let middle = (low + high) / 2
      let ratio = try ExpertSkew(.drawn(.lognormal(sigma: middle))).balancedness(
        experts: balance.experts, ranks: balance.ranks, slotsPerRank: balance.slots,
        isBalanced: false)
      if ratio > balance.ratio { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }
}
