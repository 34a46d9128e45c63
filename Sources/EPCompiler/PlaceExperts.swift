internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Gives every logical expert its slots: in order, and redundant slots to the first experts.
  @Sendable static func placeExperts(_ compilation: inout Compilation) throws(Diagnostics) {
    for index in compilation.pools.indices {
      let wish = compilation.request.pools[index].redundantExperts
      let ranks = compilation.pools[index].mesh.ep
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
        compilation.pools[index].placements.append(
          ExpertPlacement(
            function: function, layers: layers, experts: experts, slotsPerRank: slots,
            slots: inOrder(experts: experts, slotsPerRank: slots, ranks: ranks)))
      }
    }
  }

  private static func slotsPerRank(
    _ experts: Int, _ redundant: Int?, over ranks: Int
  ) throws(Diagnostics) -> Int {
    if let slots = Compilation.slotsPerRank(experts, redundant, over: ranks) { return slots }
    let wish = redundant ?? 0
    let fix = ((experts + max(wish, 0) + ranks - 1) / ranks) * ranks - experts
    if fix > (experts - 1) * ranks || wish < 0 {
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

  /// Slots in the order of ranks, where no rank holds an expert twice.
  ///
  /// Slot `s` holds expert `s % experts`; consecutive slots of a rank differ since a rank has at
  /// most as many slots as there are experts.
  private static func inOrder(experts: Int, slotsPerRank: Int, ranks: Int) -> [Int] {
    (0..<(slotsPerRank * ranks)).map { $0 % experts }
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
