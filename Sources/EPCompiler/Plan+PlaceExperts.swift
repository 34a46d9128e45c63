internal import EPCost
public import EPIR
public import EPPlacement
public import EPPlan

extension Plan {
  /// Places the experts of all pools anew, in the slots they have: what an engine does at its start
  /// when it is given other loads than those the plan was made for. MTP depths keep theirs.
  public mutating func placeExperts(for source: LoadSource) throws(Diagnostics) {
    if pools.contains(where: \.hasEmptySlots) {
      throw Diagnostics(
        "expert-unlike",
        "slots are unequal on '\(cluster.name)', whose devices are unlike; compile it again with '--loads'"
      )
    }
    for index in pools.indices where !pools[index].placements.isEmpty {
      do throws(PlacementError) {
        try pools[index].placeExperts(for: try source.loads(of: pools[index]))
      } catch { throw Diagnostics("expert-loads", "\(model.name): \(error.description)") }
    }
  }
}

extension Pool {
  fileprivate mutating func placeExperts(for loads: ExpertLoads) throws(PlacementError) {
    var placed: [ExpertPlacement] = []
    for placement in placements {
      let own = placement.layers.filter { loads.layers.contains($0) }
      let others = placement.layers.filter { !loads.layers.contains($0) }
      if !others.isEmpty {
        var rest = placement
        rest.layers = others
        placed.append(rest)
      }
      if own.isEmpty { continue }
      let shape = try PlacementShape(
        experts: placement.experts, ranks: mesh.ep, slotsPerRank: placement.slotsPerRank)
      placed += try ExpertPlacement.placed(
        try loads.matched(to: own, of: -1), of: placement.function, shape: shape,
        sharing: placement.sharing)
    }
    placements = placed
  }
}

extension ExpertPlacement {
  /// Placements of a function's layers for their loads, one each.
  static func placed(
    _ loads: ExpertLoads, of function: Int, shape: PlacementShape, sharing: Sharing = .turn
  ) throws(PlacementError) -> [ExpertPlacement] {
    let placed = try ExpertBalancer(shape: shape).place(loads)
    return zip(loads.layers, placed).map { layer, placement in
      ExpertPlacement(
        function: function, layers: [layer], experts: shape.experts,
        slotsPerRank: shape.slotsPerRank, slots: placement.slots, sharing: sharing)
    }
  }
}
