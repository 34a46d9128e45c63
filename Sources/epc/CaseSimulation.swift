import EPBackendSimGPU
import EPCost
import EPIR
import EPPlacement
import EPPlan
import EPSearch
import Glibc

/// Runs the steps of measured cases on simulated devices.
///
/// Experts lie where the planner puts them for typical loads, or in order where the case says so, and tokens
/// draw them from loads that are so far from those that the fullest rank is as much above the mean as the
/// case's estimate takes it to be, before batches add their own chance. Where ranks are perfectly
/// balanced, every expert gets exactly its share.
struct CaseSimulation {
  private struct Balance: Hashable {
    var experts: Int
    var ranks: Int
    var slots: Int
    var ratio: Double
    var placesExperts: Bool
  }

  private var known: [Balance: [ExpertSkew.Layer]] = [:]

  /// Tokens a second and device, and mean over largest rows of expert ranks as they were drawn.
  mutating func run(
    _ prediction: MeasuredCase.Prediction
  ) throws(Diagnostics) -> ValidationReport.Simulated? {
    if prediction.steps.isEmpty { return nil }
    var seconds: [Double] = []
    var result = ValidationReport.Simulated(rate: 0, balancedness: 1, placement: .even)
    for estimator in prediction.steps {
      let threads = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
      var options = SimulationOptions(routing: RoutingSource(.mean))
      var placed = estimator
      options.threads = threads
      if estimator.assumedBalancedness < 1, let placement = estimator.pool.placements.first {
        let balance = Balance(
          experts: placement.experts, ranks: estimator.pool.mesh.ep, slots: placement.slotsPerRank,
          ratio: estimator.assumedBalancedness, placesExperts: prediction.placesExperts)
        do throws(PlacementError) {
          let layers: [ExpertSkew.Layer]
          if let made = known[balance] { layers = made } else { layers = try Self.layers(balance) }
          known[balance] = layers
          options.routing = RoutingSource(.drawn, loads: try placed.pool.place(layers))
        } catch { throw Diagnostics("expert-loads", error.description) }
        result.placement = prediction.placesExperts ? .planned : .inOrder
      }
      let outcome = try PoolSimulation.steadyStep(placed, options: options)
      seconds.append(outcome.stepSeconds)
      result.balancedness = outcome.balancedness
    }
    result.rate = prediction.rate(seconds)
    return result
  }

  /// Layers whose fullest rank is as far above the mean as asked for: by drift from what experts were
  /// placed for, or by popularities where they lie in order.
  private static func layers(_ balance: Balance) throws(PlacementError) -> [ExpertSkew.Layer] {
    let shape = try PlacementShape(
      experts: balance.experts, ranks: balance.ranks, slotsPerRank: balance.slots)
    func made(_ sigma: Double) throws(PlacementError) -> [ExpertSkew.Layer] {
      try ExpertSkew(.drawn(.lognormal(sigma: sigma))).layers(
        experts: balance.experts, ranks: balance.ranks, slotsPerRank: balance.slots,
        isBalanced: balance.placesExperts)
    }
    let placed = try made(0.7)
    var layers = placed
    var (low, high) = (0.0, 4.0)
    for _ in 0..<24 {
      let middle = (low + high) / 2
      layers =
        balance.placesExperts
        ? ExpertSkew(.even, drift: middle).drifted(placed) : try made(middle)
      let ratio = ExpertSkew.even.balancedness(of: layers, shape)
      if ratio > balance.ratio { low = middle } else { high = middle }
    }
    return layers
  }
}

extension Pool {
  /// Places the experts of layers as those of some that stand for all, in turn, and returns their loads.
  fileprivate mutating func place(
    _ kinds: [ExpertSkew.Layer]
  ) throws(PlacementError) -> LoadSource {
    var rows: [(layer: Int, loads: [Double])] = []
    placements = placements.flatMap { placement in
      kinds.enumerated().compactMap { number, kind in
        let own = placement.layers.filter { $0 % kinds.count == number }
        if own.isEmpty { return nil }
        var placed = placement
        (placed.layers, placed.slots) = (own, kind.slots)
        rows += own.map { ($0, kind.loads) }
        return placed
      }
    }
    rows.sort { $0.layer < $1.layer }
    return .measured(try ExpertLoads(rows: rows.map(\.loads), layers: rows.map(\.layer)))
  }
}
