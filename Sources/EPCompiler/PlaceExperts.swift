internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

extension Compiler {
  /// Gives every logical expert its slots: for the loads that are given, else as if all were alike.
  @Sendable static func placeExperts(_ compilation: inout Compilation) throws(Diagnostics) {
    for index in compilation.pools.indices {
      let wish = compilation.request.pools[index].redundantExperts
      let ranks = compilation.pools[index].mesh.ep
      if !compilation.cluster.unlike.isEmpty && ranks > 1 {
        try placeUnlike(&compilation, pool: index)
        continue
      }
      var explained: Set<Int> = []
      for (function, layers) in compilation.expertLayers {
        guard
          let experts = compilation.program.functions[function].operations
            .first(where: { $0.kind == .dispatch })?.attributes.int("experts")
        else { continue }
        let slots = try slotsPerRank(experts, wish, over: ranks)
        let redundant = slots * ranks - experts
        if wish == nil && redundant > 0 && explained.insert(experts).inserted {
          compilation.decisions.append(
            "\(compilation.pools[index].role.rawValue): \(redundant) redundant experts, the fewest "
              + "for which \(experts) experts come out even over \(ranks) ranks")
        }
        var unplaced = layers
        if let loads = compilation.request.loads {
          let placed = try balanced(compilation, loads, function, layers, experts, slots, ranks)
          compilation.pools[index].placements += placed
          unplaced.removeAll { layer in placed.contains { $0.layers == [layer] } }
        }
        if unplaced.isEmpty { continue }
        compilation.pools[index].placements.append(
          ExpertPlacement(
            function: function, layers: unplaced, experts: experts, slotsPerRank: slots,
            slots: try evenly(experts: experts, slotsPerRank: slots, ranks: ranks)))
      }
      for place in compilation.pools[index].placements.indices {
        compilation.pools[index].placements[place].sharing = compilation.request.sharing
      }
      if compilation.request.loads != nil {
        compilation.decisions.append(
          "\(compilation.pools[index].role.rawValue): experts are placed for the given loads")
      }
    }
  }

  /// The placements of a function's layers that there are loads for: all but MTP depths.
  private static func balanced(
    _ compilation: Compilation, _ source: LoadSource, _ function: Int, _ layers: [Int],
    _ experts: Int, _ slots: Int, _ ranks: Int
  ) throws(Diagnostics) -> [ExpertPlacement] {
    let program = compilation.program
    let drafts = Set(program.drafts.flatMap(\.layers))
    let own = layers.filter { !drafts.contains($0) }
    if own.isEmpty { return [] }
    let loads = try compilation.loads(source, own.sorted(), experts)
    do throws(PlacementError) {
      let shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slots)
      return try ExpertPlacement.placed(loads, of: function, shape: shape)
    } catch {
      throw Diagnostics("expert-loads", "\(program.name): \(error.description)")
    }
  }

  private static func slotsPerRank(
    _ experts: Int, _ redundant: Int?, over ranks: Int
  ) throws(Diagnostics) -> Int {
    if let slots = Compilation.slotsPerRank(experts, redundant, over: ranks) { return slots }
    let wish = redundant ?? 0
    let most = experts * ranks - experts
    let fix = ((experts + min(max(wish, 0), most) + ranks - 1) / ranks) * ranks - experts
    if wish < 0 || wish > most {
      throw Diagnostics(
        "expert-slots",
        "'--redundant-experts \(wish)' with \(experts) experts on \(ranks) ranks, where a rank "
          + "holds an expert once; take '--redundant-experts "
          + "\((experts + ranks - 1) / ranks * ranks - experts)'")
    }
    throw Diagnostics(
      "expert-slots",
      "\(experts) routed experts and \(wish) redundant ones cannot be split evenly over \(ranks) "
        + "ranks; take '--redundant-experts \(fix)'")
  }

  /// Slots for experts of equal loads: in order where each has one, balanced where some have more.
  private static func evenly(
    experts: Int, slotsPerRank: Int, ranks: Int
  ) throws(Diagnostics) -> [Int] {
    if slotsPerRank * ranks % experts == 0 {
      return (0..<(slotsPerRank * ranks)).map { $0 % experts }
    }
    do throws(PlacementError) {
      let shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slotsPerRank)
      let even = Array(repeating: 1.0, count: experts)
      return try ExpertBalancer(shape: shape, threads: 1).place(weights: even).slots
    } catch { throw Diagnostics("expert-loads", error.description) }
  }
}

extension Compilation {
  /// The functions with routed experts, and the layers that call each.
  var expertLayers: [(function: Int, layers: [Int])] {
    program.functions.indices.compactMap { index in
      let layers = (program.calls + program.drafts).filter { $0.function == index }
        .flatMap(\.layers)
      let hasExperts = program.functions[index].operations.contains { $0.kind == .dispatch }
      return hasExperts && !layers.isEmpty ? (index, layers) : nil
    }
  }
}
