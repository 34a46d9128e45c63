public import EPModel

/// What `epc balance migrate` prints: what copies buy, and the ones that were chosen.
public struct MigrationReport: Sendable {
  /// A choice: how much is copied, and what it brings.
  public struct Row: Hashable, Sendable {
    /// Experts copied into a slot, all layers together.
    public var copies: Int
    /// Mean balance of the layers for the new loads.
    public var balance: Double
    /// The same after the drift expected until the next window, as the search estimates it.
    public var expected: Double
  }

  /// The slots.
  public let shape: PlacementShape
  /// The model's number of each layer.
  public let layers: [Int]
  /// The front: from no copies to as many as are of use, then placing everything anew.
  public let rows: [Row]
  /// The row chosen, with its real copies.
  public let chosen: Row
  /// Its copies, step by step.
  public let migration: Migration
  /// The most bytes a rank may receive or send in a step.
  public let bytesPerStep: Int
  /// How much loads vary from a window to the next, as a standard deviation of their logarithm.
  public let drift: Double
  /// The new placement of each layer, judged by the new loads.
  public let placements: [LayerPlacement]

  /// Rebalances from the placement in force, with at most `budget` copies.
  ///
  /// - Parameter previous: the loads of the window before, which tell how much loads drift.
  public init(
    from old: [[Int]], loads: ExpertLoads, previous: ExpertLoads? = nil, shape: PlacementShape,
    budget: Int, expertBytes: Int, bytesPerStep: Int
  ) throws(PlacementError) {
    drift = previous.map { Rebalancer.drift(from: $0, to: loads) } ?? 0.1
    let all = shape.slots * loads.rows.count
    let rebalancer = Rebalancer(shape: shape, drift: drift)
    let front = try rebalancer.front(from: old, for: loads, budget: max(budget, all / 5))
    var rows: [Row] = []
    for parts in [0, 5, 10, 20, 50, 100, 200] {
      let points = front.points(budget: all * parts / 1000)
      let row = MigrationReport.row(points)
      if rows.last.map({ $0.copies < row.copies }) ?? true { rows.append(row) }
    }
    let anew = try ExpertBalancer(shape: shape).place(loads)
    var moved = 0
    for (slots, placement) in zip(old, anew) {
      moved += shape.copies(from: slots, to: placement.slots)
    }
    rows.append(
      Row(copies: moved, balance: MigrationReport.mean(anew.map(\.balance)), expected: .nan))
    self.rows = rows
    let points = front.points(budget: budget)
    chosen = MigrationReport.row(points)
    migration = try shape.migration(
      from: old, to: points.map(\.slots), expertBytes: expertBytes, bytesPerStep: bytesPerStep)
    placements = zip(migration.slots, zip(anew, loads.rows)).map { slots, other in
      LayerPlacement(
        slots: slots, rankLoads: shape.rankLoads(slots: slots, weights: other.1),
        bound: other.0.bound, greedyMost: other.0.greedyMost)
    }
    self.shape = shape
    layers = loads.layers
    self.bytesPerStep = bytesPerStep
  }

  private static func row(_ points: [RebalancePoint]) -> Row {
    Row(
      copies: points.reduce(0) { $0 + $1.copies }, balance: mean(points.map(\.balance)),
      expected: mean(points.map(\.expectedBalance)))
  }

  private static func mean(_ values: [Double]) -> Double {
    values.reduce(0, +) / Double(max(values.count, 1))
  }

  private var slotCount: Int { max(shape.slots * layers.count, 1) }

  private func cells(_ title: String, _ row: Row) -> [String] {
    [
      title, "\(row.copies)", fixed(Double(row.copies) / Double(slotCount) * 100, 1) + " %",
      gibibytes(row.copies * migration.expertBytes), fixed(row.balance, 4),
      row.expected.isNaN ? "-" : fixed(row.expected, 4),
    ]
  }

  /// Tables for people: the front, and the steps of the choice.
  public func text(mostSteps: Int = 12) -> String {
    var front = TextTable(
      columns: ["", "copies", "of slots", "GiB", "balance", "next window"])
    for (index, row) in rows.enumerated() {
      let title = index == rows.count - 1 ? "placed anew" : index == 0 ? "as it is" : ""
      front.add(cells(title, row))
    }
    front.add(cells("chosen", chosen))
    var text =
      "\(layers.count) layers of \(shape.experts) experts in \(shape.slots) slots of \(shape.ranks) "
      + "ranks; loads drift by \(fixed(drift * 100, 1)) % a window\n" + front.text
    let most = gibibytes(migration.worstStepBytes)
    text +=
      "\n\(migration.copies) copies in \(migration.steps.count) steps, at most \(most) GiB into or "
      + "out of a rank in one; \(gibibytes(migration.bytesInNodes)) GiB within nodes, "
      + "\(gibibytes(migration.bytesBetweenNodes)) GiB between\n"
    if migration.steps.isEmpty { return text }
    var steps = TextTable(columns: ["step", "copies", "layers", "ranks", "GiB", "between nodes"])
    for (number, step) in migration.steps.prefix(mostSteps).enumerated() {
      let far = step.reduce(0) { $0 + ($1.staysInNode ? 0 : 1) }
      steps.add([
        "\(number + 1)", "\(step.count)", "\(Set(step.map(\.layer)).count)",
        "\(Set(step.map(\.to)).count)", gibibytes(step.count * migration.expertBytes),
        gibibytes(far * migration.expertBytes),
      ])
    }
    text += steps.text
    let rest = migration.steps.count - mostSteps
    return rest > 0 ? text + "and \(rest) more steps\n" : text
  }

  /// The same for programs, each copy with its slot, expert, ranks and link; and the placement, which
  /// `PlacedLayers` reads.
  public var document: Document {
    let balances = placements.map(\.balance)
    return .object([
      "experts": .int(shape.experts), "ranks": .int(shape.ranks),
      "slots_per_rank": .int(shape.slotsPerRank), "nodes": .int(shape.nodes),
      "groups": .int(shape.groups), "drift": .real(drift),
      "front": .list(
        rows.map { row in
          .object([
            "copies": .int(row.copies), "bytes": .int(row.copies * migration.expertBytes),
            "balance": .real(row.balance),
            "expected_balance": row.expected.isNaN ? nil : .real(row.expected),
          ])
        }),
      "mean": .object(["balance": .real(MigrationReport.mean(balances))]),
      "layers": .list(
        layers.indices.map { index in
          .object([
            "layer": .int(layers[index]), "balance": .real(balances[index]),
            "bound": .real(placements[index].balanceBound),
            "slots": .ints(placements[index].slots),
          ])
        }),
      "expert_bytes": .int(migration.expertBytes), "bytes_per_step": .int(bytesPerStep),
      "steps": .list(
        migration.steps.map { step in
          .list(
            step.map { copy in
              .object([
                "layer": .int(layers[copy.layer]), "slot": .int(copy.slot),
                "expert": .int(copy.expert), "from": .int(copy.from), "to": .int(copy.to),
                "link": .text(copy.staysInNode ? "node" : "network"),
              ])
            })
        }),
    ])
  }
}
