import ArgumentParser
import EPIR
import EPJSON
import EPModel
import EPPlacement
import EPPlan

struct BalanceMigrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "migrate",
    abstract: "Move few experts from the placement in force, for new loads.",
    discussion: """
      Prints what copies buy, from none to placing everything anew, and the copies chosen by \
      '--budget', spread over steps: which slot gets which expert, from which rank, over which link.

        epc balance migrate new.csv --from placement.json --model models/k2.swift --budget 5
        epc balance migrate new.csv --from plan.json --previous old.csv \\
          --step-bytes 200000000 --format json
      """)

  @Argument(help: "The new loads: a file, or a distribution.")
  var loads: String

  @Option(help: "The placement in force: from 'epc balance -o', a plan, or SGLang's JSON.")
  var from: String

  @Option(help: "The loads of the window before, which tell how much loads drift.")
  var previous: String?

  @Option(help: "Copies, in percent of all slots.")
  var budget: Double = 5

  @Option(help: "How replicas share tokens, as the plan does: turn, or batch.")
  var sharing: SharingFlag = .turn

  @Option(help: "The most bytes a rank receives, or sends, in a step.")
  var stepBytes: Int = 1 << 30

  @Option(help: "Ranks, where the placement does not say.")
  var ranks: Int?

  @Option(help: "Which pool's placement, of a plan with two: prefill or decode.")
  var pool: String?

  @OptionGroup
  var experts: ExpertFlags

  @OptionGroup
  var output: PlacementOutput

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let known = try experts.read()
      let old = try placement()
      var found: (report: MigrationReport, loads: ExpertLoads)?
      try balancing { () throws(PlacementError) in
        if !(budget >= 0 && budget <= 100) {
          throw .shape("'--budget \(budget)' is no part of the slots in percent")
        }
        if stepBytes < 1 { throw .shape("'--step-bytes \(stepBytes)'; a step moves something") }
        var loads = try known.loads(self.loads)
        var previous = try self.previous.map { (text) throws(PlacementError) in
          try known.loads(text)
        }
        // Loads without a model count from layer 0; those of the file say which they are.
        if known.model == nil && loads.layers.count == old.layers.count {
          loads = try ExpertLoads(rows: loads.rows, layers: old.layers)
          previous = try previous?.matched(to: old.layers, of: -1)
        }
        let slots = try old.slots(of: loads.layers)
        let shape = try shape(old, slots, loads, known)
        let report = try MigrationReport(
          from: slots, loads: loads, previous: previous, shape: shape,
          budget: Int(budget / 100 * Double(shape.slots * slots.count)),
          expertBytes: try known.bytes(), bytesPerStep: stepBytes,
          sharing: sharing.rebalancing)
        found = (report, loads)
      }
      guard let (report, loads) = found else { return }
      try output.write(report.document, report.placements, loads, known)
      try format.print(report.text(), report.document)
    }
  }

  private func shape(
    _ old: PlacedLayers, _ slots: [[Int]], _ loads: ExpertLoads, _ known: ExpertFlags.Experts
  ) throws(PlacementError) -> PlacementShape {
    guard let ranks = ranks ?? old.shape?.ranks else {
      throw .shape("\(from) does not say how many ranks there are; give '--ranks'")
    }
    let count = slots.first?.count ?? 0
    guard ranks > 0, count % ranks == 0 else {
      throw .shape("\(count) slots are no whole number for each of \(ranks) ranks")
    }
    return try PlacementShape(
      experts: loads.experts, ranks: ranks, slotsPerRank: count / ranks,
      nodes: experts.nodes ?? old.shape?.nodes ?? 1, groups: old.shape?.groups ?? known.groups)
  }

  /// The placement in force.
  private func placement() throws(Diagnostics) -> PlacedLayers {
    let bytes = try Terminal.read(from, maxBytes: 1 << 30)
    do throws(JSONError) {
      let root = JSONNode(try JSONValue.parse(bytes: bytes))
      guard try root.optional("epc_plan") != nil else { return try PlacedLayers(json: root) }
    } catch { throw Diagnostics("placement", error.description, at: error.file == nil ? from : "") }
    let plan = try Plan.load(from)
    guard let pool = plan.pools.first(where: { pool == nil || $0.role.rawValue == pool }) else {
      throw PlanFlags.unknown("--pool", pool ?? "", plan.pools.map(\.role.rawValue))
    }
    return try placement(of: pool, in: plan)
  }

  private func placement(of pool: Pool, in plan: Plan) throws(Diagnostics) -> PlacedLayers {
    let drafts = Set(pool.drafts.flatMap(\.layers))
    var slots: [Int: [Int]] = [:]
    for placement in pool.placements {
      for layer in placement.layers where !drafts.contains(layer) {
        slots[layer] = placement.slots
      }
    }
    guard let first = pool.placements.first else {
      throw Diagnostics("placement", "the plan places no experts", at: from)
    }
    let layers = slots.keys.sorted()
    // Where each expert is split over a data group, a group's ranks lie a group apart.
    let stride = pool.mesh.holdsWholeExperts ? 1 : pool.mesh.tp
    let node = max(plan.cluster.devicesPerNode / stride, 1)
    do throws(PlacementError) {
      let shape = try PlacementShape(
        experts: first.experts, ranks: pool.mesh.ep, slotsPerRank: first.slotsPerRank,
        nodes: pool.mesh.ep % node == 0 ? pool.mesh.ep / node : 1)
      return PlacedLayers(layers: layers, slots: layers.compactMap { slots[$0] }, shape: shape)
    } catch { throw Diagnostics("placement", error.description, at: from) }
  }
}
