internal import EPIR
internal import EPModel
public import EPPlacement
public import EPPlan

/// What the routed experts of one layer take in a step, under one placement.
public struct PlacementTime: Hashable, Sendable {
  /// Seconds of the grouped products on the slowest rank.
  public var experts: Double
  /// Seconds of dispatch and combine over the busiest link.
  public var exchange: Double
  /// The nodes that a token's experts are on, its own counted.
  public var nodesVisited: Double
  /// Mean over fullest rank.
  public var balance: Double

  /// All of it, one after the other.
  public var total: Double { experts + exchange }
}

extension StepEstimator {
  /// What the routed experts of a layer take where `placement` says.
  public func expertTime(_ placement: ExpertPlacement, layer: Int) -> PlacementTime {
    var estimator = self
    estimator.pool.placements = [placement]
    var planner = KernelPlanner(estimator, function: placement.function, layer: layer)
    planner.plan(.routed)
    var time = PlacementTime(
      experts: 0, exchange: 0, nodesVisited: 1, balance: 1 / planner.imbalance)
    for operation in planner.estimates {
      switch operation.part {
      case .experts: time.experts += operation.time.value
      case .dispatch, .combine:
        time.exchange += operation.time.value
        if case .exchange(let exchange) = operation.kernel {
          time.nodesVisited = exchange.nodesVisited
        }
      default: break
      }
    }
    return time
  }

  /// The slots of a placement with the nodes they are in and the groups that routing limits; nil
  /// where nodes, groups and slots do not come out even, or ranks have unequal slots.
  public func placementShape(of placement: ExpertPlacement) -> PlacementShape? {
    let mesh = pool.mesh
    if placement.hasEmptySlots { return nil }
    // Where each expert is split over a data group, a group's ranks lie a group apart.
    let stride = mesh.holdsWholeExperts ? 1 : mesh.tp
    let node = max(1, devicesPerNode / stride)
    let route = pool.functions[placement.function].function.operations.first { $0.kind == .route }
    let groups = max(route?.attributes.int("groups", default: 1) ?? 1, 1)
    do throws(PlacementError) {
      return try PlacementShape(
        experts: placement.experts, ranks: mesh.ep, slotsPerRank: placement.slotsPerRank,
        nodes: mesh.ep % node == 0 ? mesh.ep / node : mesh.ep < node ? 1 : -1, groups: groups)
    } catch { return nil }
  }

  /// How much more than under even routing the busiest link into each expert rank carries where normal kernels send
  /// a token to each node once and pass it on to each rank once; nil where the layer's loads are not given.
  public func forwardedTraffic(
    _ exchange: Kernel.Exchange, _ placement: ExpertPlacement?, layer: Int
  ) -> [Double]? {
    guard let placement, let loads = self.loads?.row(ofLayer: layer) else { return nil }
    var even = exchange
    even.imbalance = 1
    let work = Kernel.exchange(even).work(on: model.hardware)
    if work.floor <= 0 { return nil }
    let route = pool.functions[placement.function].function.operations.first { $0.kind == .route }
    let chances = RoutingChances(
      loads: loads, topK: Int(exchange.copies), groups: route?.attributes.int("groups") ?? 1,
      kept: route?.attributes.int("groups_kept") ?? 1)
    let node = Int(exchange.node)
    let nodes = chances.visits(slots: placement.slots, each: placement.slotsPerRank * node)
    let ranks = chances.visits(slots: placement.slots, each: placement.slotsPerRank)
    let far = work.first * exchange.nodes / exchange.nodesVisited
    let near = work.second * exchange.ranks / exchange.ranksVisited
    return ranks.indices.map { max(far * nodes[$0 / node], near * ranks[$0]) / work.floor }
  }

  /// The nodes that a token of a layer visits: drawn for the placement and its loads, or where none
  /// are given in closed form, as if groups stayed in nodes.
  func nodesVisited(
    _ placement: ExpertPlacement?, layer: Int, nodes: Int, topK: Int, experts: Int,
    groups: Int, keptGroups kept: Int
  ) -> Double {
    if nodes > 1, let loads = self.loads?.row(ofLayer: layer), let placement,
      let shape = placementShape(of: placement), shape.nodes == nodes
    {
      return shape.nodesVisited(
        slots: placement.slots, weights: loads, topK: topK,
        keptGroups: kept > 0 ? kept : shape.groups)
    }
    return NodeVisits.expected(
      nodes: nodes, experts: experts, topK: topK, groups: groups, kept: kept)
  }
}
