internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

extension Compiler {
  /// Where loads are given and routing is limited to groups of experts, places those of a group in
  /// one node too, prices both placements of every layer (the slowest rank's grouped products and
  /// the busiest link with the nodes that tokens then visit) and keeps the one that costs less.
  @Sendable static func choosePlacement(_ compilation: inout Compilation) throws(Diagnostics) {
    guard let source = compilation.request.loads else { return }
    for index in compilation.pools.indices {
      let pool = compilation.pools[index]
      if pool.placements.isEmpty || pool.mesh.ep <= compilation.cluster.devicesPerNode { continue }
      var estimator = StepEstimator(
        pool, precision: compilation.program.precision,
        model: CostModel(
          compilation.cluster.hardware, calibration: compilation.request.calibration),
        devicesPerNode: compilation.cluster.devicesPerNode)
      var tally = PlacementTally()
      do throws(PlacementError) {
        estimator.loads = try source.loads(of: pool)
        compilation.pools[index].placements = try cheapest(
          of: pool.placements, estimator, &tally)
      } catch { throw Diagnostics("expert-loads", error.description) }
      if let sentence = tally.sentence {
        compilation.decisions.append("\(pool.role.rawValue): \(sentence)")
      }
    }
  }

  private static func cheapest(
    of placements: [ExpertPlacement], _ estimator: StepEstimator, _ tally: inout PlacementTally
  ) throws(PlacementError) -> [ExpertPlacement] {
    var placements = placements
    for (shape, members) in byShape(placements, estimator) {
      let balancer = try ExpertBalancer(shape: shape, mode: .hierarchical)
      let rows = members.compactMap { estimator.loads?.row(ofLayer: placements[$0].layers[0]) }
      let limited = try balancer.place(try ExpertLoads(rows: rows))
      for (member, other) in zip(members, limited) {
        var candidate = placements[member]
        candidate.slots = other.slots
        let layer = candidate.layers[0]
        let global = estimator.expertTime(placements[member], layer: layer)
        let hierarchical = estimator.expertTime(candidate, layer: layer)
        let isKept = hierarchical.total < global.total
        if isKept { placements[member] = candidate }
        tally.add(global, hierarchical, layers: candidate.layers.count, isKept: isKept)
      }
    }
    return placements
  }

  /// The placements whose groups could be kept in nodes and are not, by their shape.
  private static func byShape(
    _ placements: [ExpertPlacement], _ estimator: StepEstimator
  ) -> [(PlacementShape, [Int])] {
    var found: [(shape: PlacementShape, members: [Int])] = []
    for (index, placement) in placements.enumerated() {
      guard let shape = estimator.placementShape(of: placement), shape.groups > 1, shape.nodes > 1,
        shape.canKeepGroups, let layer = placement.layers.first,
        estimator.loads?.row(ofLayer: layer) != nil, shape.strayExpert(in: placement.slots) != nil
      else { continue }
      if let known = found.firstIndex(where: { $0.shape == shape }) {
        found[known].members.append(index)
      } else {
        found.append((shape, [index]))
      }
    }
    return found
  }
}

/// What both kinds of placement cost, layer by layer.
private struct PlacementTally {
  private var global: [PlacementTime] = []
  private var hierarchical: [PlacementTime] = []
  private var kept = 0
  private var layers = 0.0

  mutating func add(
    _ global: PlacementTime, _ hierarchical: PlacementTime, layers: Int, isKept: Bool
  ) {
    for _ in 0..<layers {
      self.global.append(global)
      self.hierarchical.append(hierarchical)
    }
    if isKept { kept += layers }
  }

  /// What was chosen, with the numbers; nil where there was no choice.
  var sentence: String? {
    if global.isEmpty { return nil }
    let count = global.count
    let choice =
      kept == 0
      ? "experts are placed over all ranks"
      : kept == count
        ? "the experts of a group stay in a node"
        : "the experts of a group stay in a node in \(kept) of \(count) layers"
    return choice + ": a layer's experts and exchange take \(text(hierarchical)) so, "
      + "\(text(global)) with experts over all ranks"
  }

  private func text(_ times: [PlacementTime]) -> String {
    func mean(_ value: (PlacementTime) -> Double) -> Double {
      times.reduce(0) { $0 + value($1) } / Double(times.count)
    }
    return "\(decimal(mean { $0.total * 1e6 }, 0)) us (balance \(decimal(mean { $0.balance }, 3)), "
      + "\(decimal(mean { $0.nodesVisited }, 2)) nodes a token)"
  }

  private func decimal(_ value: Double, _ digits: Int) -> String {
    let scale = digits == 0 ? 1 : digits == 2 ? 100 : 1000
    let scaled = Int(saturating: (value * Double(scale)).rounded())
    if digits == 0 { return "\(scaled)" }
    return "\(scaled / scale).\(String(scaled % scale + scale).dropFirst())"
  }
}
