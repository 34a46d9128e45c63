internal import EPIR
internal import EPModel
public import EPPlan

/// What one rank does and holds.
public struct RankListing: Sendable {
  let plan: Plan
  let pool: Pool
  let poolIndex: Int
  let program: RankProgram

  /// Lists a rank of a pool of a verified plan; nil where there is no such rank.
  public init?(_ plan: Plan, pool: Int, rank: Int) {
    guard plan.pools.indices.contains(pool), rank >= 0, rank < plan.pools[pool].mesh.ranks else {
      return nil
    }
    self.plan = plan
    self.pool = plan.pools[pool]
    poolIndex = pool
    program = plan.instantiate(rank: rank, of: pool)
  }

  /// Consecutive calls whose weights are the same parts.
  private struct Run {
    var first: RankProgram.Call
    var layers: [Int]
  }

  /// The listing for a terminal.
  public func text(width: Int = 100, colour: Bool = false) -> String {
    var page = TextPage(width: width, colour: colour)
    let place = program.coordinates
    page.heading(
      "rank \(program.rank) of \(pool.mesh.ranks), \(pool.role.rawValue)",
      rest: "rank \(pool.firstRank + program.rank) of the cluster; "
        + Escaping.printable(plan.model.name))
    page.field(
      "stands in",
      "stage \(place.stage) of \(pool.mesh.pp), data group \(place.data) of \(pool.mesh.dp), tensor "
        + "rank \(place.tensor) of \(pool.mesh.tp), expert rank \(place.expert) of \(pool.mesh.ep)"
        + (pool.mesh.expertCopies > 1
          ? ", expert copy \(place.expertCopy) of \(pool.mesh.expertCopies)" : ""))
    for group in Mesh.Group.allCases {
      let members = program.groups[group] ?? []
      page.field(
        "group \(group.rawValue)", "\(Units.plural(members.count, "rank")): \(text(of: members))")
    }
    page.field("calls", runs.map(name).joined(separator: ", "))
    if pool.memory.indices.contains(place.stage) {
      let table = pool.memory[place.stage]
      let parts = table.parts.filter { $0.bytes > 0 }.map { "\($0.name) \(Units.bytes($0.bytes))" }
      page.field(
        "memory", "\(Units.bytes(table.total)) at most: " + parts.joined(separator: ", "))
    }
    for run in runs { write(run, to: &page) }
    return page.text
  }

  private var runs: [Run] {
    var runs: [Run] = []
    for call in program.calls {
      if let last = runs.last, last.first.function == call.function, call.layer >= 0,
        last.first.isDraft == call.isDraft, isSame(last.first.weights, call.weights)
      {
        runs[runs.count - 1].layers.append(call.layer)
      } else {
        runs.append(Run(first: call, layers: call.layer < 0 ? [] : [call.layer]))
      }
    }
    return runs
  }

  private func isSame(_ a: [WeightSlice], _ b: [WeightSlice]) -> Bool {
    a.count == b.count
      && zip(a, b).allSatisfy { $0.ranges == $1.ranges && $0.experts == $1.experts }
  }

  private func name(of run: Run) -> String {
    Escaping.printable(program.functions[run.first.function].function.name)
      + (run.layers.isEmpty ? "" : "[\(ModelProgram.Call.text(of: run.layers))]")
      + (run.first.isDraft ? " (MTP)" : "")
  }

  /// Ranks that are evenly spaced as `3, 7, ... 31`, others as runs.
  private func text(of ranks: [Int]) -> String {
    guard ranks.count > 4 else { return ranks.map(String.init).joined(separator: ", ") }
    let step = ranks[1] - ranks[0]
    let isEven = zip(ranks, ranks.dropFirst()).allSatisfy { $1 - $0 == step }
    return isEven && step > 1
      ? "\(ranks[0]), \(ranks[1]), ... \(ranks[ranks.count - 1])" : Units.runs(ranks)
  }

  private func write(_ run: Run, to page: inout TextPage) {
    let function = program.functions[run.first.function].function
    let slices = Array(zip(function.weights, run.first.weights))
    if slices.isEmpty { return }
    let prefix = layerPrefix(slices.map(\.0.name))
    let held = slices.reduce(0) { $0 + bytes($1.0, $1.1) }
    page.gap()
    let times = run.layers.count > 1 ? " x \(run.layers.count)" : ""
    page.heading(
      name(of: run),
      rest: "weights \(Units.bytes(held))\(times)"
        + (prefix.isEmpty ? "" : ", names below \(Escaping.printable(prefix))"))
    if let experts = run.first.weights.lazy.compactMap(\.experts).first {
      let start =
        program.coordinates.expert * (run.first.placement?.slotsPerRank ?? experts.count)
      page.field(
        "experts",
        "\(Units.runs(experts, most: 24)) in slots \(Units.runs(Array(start..<(start + experts.count))))"
      )
    }
    page.table(
      slices.map { weight, slice in
        let short =
          weight.name.hasPrefix(prefix) ? weight.name.dropFirst(prefix.count) : weight.name[...]
        let format = plan.model.precision.format(of: weight.role).rawValue
        return [
          TextPage.Cell(Escaping.printable(String(short)), .cyan), TextPage.Cell(format, .dim),
          TextPage.Cell(Units.bytes(bytes(weight, slice)), right: true),
          TextPage.Cell(slice.isUsed ? ranges(slice) : "not used here, tensor rank 0 has it"),
        ]
      }, indent: 2)
  }

  /// What the names of a layer's weights begin with: `model.layers.{layer}.`.
  private func layerPrefix(_ names: [String]) -> String {
    let open = "{layer}."
    guard let name = names.first(where: { $0.contains(open) }), let end = name.firstRange(of: open)
    else { return "" }
    return String(name[..<end.upperBound])
  }

  private func bytes(_ weight: WeightDeclaration, _ slice: WeightSlice) -> Int {
    var elements = 1
    for (axis, range) in slice.ranges.enumerated() {
      elements *= axis == 0 ? slice.experts?.count ?? range.count : range.count
    }
    let bits = plan.model.precision.format(of: weight.role).bitsPerElement
    return Int((Double(elements) * bits / 8).rounded(.up))
  }

  private func ranges(_ slice: WeightSlice) -> String {
    let axes = zip(slice.axes, slice.ranges).enumerated().map { position, pair in
      let (axis, range) = pair
      if position == 0, let experts = slice.experts {
        return Units.plural(experts.count, "expert")
      }
      if range.count == axis.size { return "\(axis.name) \(range.count)" }
      return "\(axis.name) "
        + (range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound - 1)")
        + " of \(axis.size ?? 0)"
    }
    return axes.joined(separator: ", ")
  }
}
