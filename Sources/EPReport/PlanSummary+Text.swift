internal import EPIR
internal import EPModel
internal import EPPlan

extension PlanSummary {
  /// The summary for a terminal of `width` columns, with ANSI colours if `colour` is set.
  public func text(width: Int = 100, colour: Bool = false) -> String {
    var page = TextPage(width: width, colour: colour)
    let (model, cluster) = (plan.model, plan.cluster)
    page.heading(Escaping.printable(model.name))
    page.field("parameters", parameters)
    page.field("layers", layers)
    page.field("shape", "hidden \(model.hidden), vocabulary \(model.vocabulary)")
    page.field("precision", precision)
    page.field(
      "cluster",
      "\(Escaping.printable(cluster.name)): \(Units.plural(cluster.nodes, "node")) of "
        + "\(cluster.devicesPerNode), \(Units.bytes(cluster.usableBytes)) usable of "
        + "\(Units.bytes(cluster.memoryBytes)) a device")
    if let handover = plan.handover { write(handover, to: &page) }
    for pool in plan.pools { write(pool, to: &page) }
    if !plan.decisions.isEmpty {
      page.gap()
      page.heading("decisions")
      for decision in plan.decisions { page.item(Escaping.printable(decision)) }
    }
    return page.text
  }

  private func write(_ handover: Handover, to page: inout TextPage) {
    let context = plan.pools[handover.to].load.context
    page.field(
      "hand-over",
      "\(plan.pools[handover.from].role.rawValue) to \(plan.pools[handover.to].role.rawValue): "
        + "\(Units.bytes(handover.bytes(context: 1) - handover.bytes(context: 0))) a token, "
        + "\(Units.bytes(handover.bytes(context: context))) a sequence of \(context) tokens")
  }

  private func write(_ pool: Pool, to page: inout TextPage) {
    let (summary, mesh) = (PoolSummary(pool: pool), pool.mesh)
    page.gap()
    page.heading(
      pool.role.rawValue, rest: "pp \(mesh.pp)  dp \(mesh.dp)  tp \(mesh.tp)  ep \(mesh.ep)")
    let last = pool.firstRank + mesh.ranks - 1
    page.field(
      "ranks",
      Units.plural(mesh.ranks, "rank")
        + (mesh.ranks == 1 ? ", \(last)" : ", \(pool.firstRank)-\(last)") + " of the cluster")
    page.field(
      "load",
      "\(Units.plural(pool.load.sequences, "sequence")) and at most "
        + "\(Units.plural(pool.load.tokens, "token")) a step"
        + (mesh.dp > 1 ? " in each of \(mesh.dp) data groups" : "")
        + ", context \(pool.load.context)")
    if let pipeline = pool.pipeline {
      page.field("pipeline", PipelineTimeline.phrase(pipeline, of: pool))
    }
    let all = summary.layerCount
    func write(_ name: String, _ phrases: [(text: String, layers: Int)], of all: Int) {
      for (index, phrase) in phrases.enumerated() {
        let share = phrase.layers == all ? "" : " (\(phrase.layers) of \(all) layers)"
        page.field(index == 0 ? name : "", phrase.text + share)
      }
    }
    write("attention", summary.phrases(\.attention), of: all)
    write("experts", summary.placements, of: summary.expertLayerCount)
    write("router", summary.phrases { $0.router.map { [$0] } ?? [] }, of: summary.expertLayerCount)
    let cache = summary.cacheBytes
    if cache.perToken > 0 {
      page.field("KV cache", "\(Units.bytes(cache.perToken)) a token, all layers and tensor ranks")
    }
    if cache.perSequence > 0 {
      page.field(
        "states", "\(Units.bytes(cache.perSequence)) a sequence, all layers and tensor ranks")
    }
    writeMemory(of: summary, to: &page)
    writeCollectives(of: summary, to: &page)
  }

  private func writeMemory(of summary: PoolSummary, to page: inout TextPage) {
    guard let (stage, table) = summary.fullest else { return }
    let usable = plan.cluster.usableBytes
    page.gap()
    let place =
      summary.pool.mesh.pp > 1 ? "the fullest rank, in stage \(stage)" : "the fullest rank"
    page.heading(
      "  memory", rest: "\(place): \(Units.bytes(table.total)) of \(Units.bytes(usable)) usable")
    let most = min(max(page.width - 46, 8), 40)
    let styles: [TextPage.Style] = [.blue, .magenta, .cyan, .green, .yellow]
    func row(_ name: String, _ bytes: Int, _ style: TextPage.Style) -> [TextPage.Cell] {
      let bar = TextPage.bar(bytes, of: usable, most: most)
      return [
        TextPage.Cell(name), TextPage.Cell(Units.bytes(bytes), right: true),
        TextPage.Cell(Units.percent(bytes, of: usable), .dim, right: true),
        TextPage.Cell(bar, style, track: most - bar.count),
      ]
    }
    var rows = zip(table.parts, styles).map { row($0.name, $0.bytes, $1) }
    let isTight = table.total > usable / 10 * 9
    rows.append(row("total", table.total, table.total > usable ? .red : isTight ? .yellow : .bold))
    if summary.pool.mesh.pp > 1 {
      for (stage, table) in summary.pool.memory.enumerated().prefix(16) {
        rows.append(row("stage \(stage)", table.total, .dim))
      }
    }
    page.table(rows)
    if let arena = summary.arena, arena.bytes > 0 {
      let name = Escaping.shortened(Escaping.printable(arena.function), to: 20)
      let batches = summary.pool.parts
      page.field(
        "  arena",
        (batches > 1 ? "\(batches) of " : "") + "\(Units.bytes(arena.bytes)), that of \(name)"
          + (arena.bytes > arena.least
            ? ", \(Units.percent(arena.bytes - arena.least, of: arena.least)) above the most bytes "
              + "alive at once" : ", the most bytes alive at once"))
    }
  }

  private func writeCollectives(of summary: PoolSummary, to page: inout TextPage) {
    page.gap()
    let all = summary.collectives
    if all.isEmpty {
      page.heading("  collectives", rest: "none")
      return
    }
    page.heading(
      "  collectives",
      rest:
        "bytes a rank sends, even routing; \(Units.bytes(summary.bytesSentInStep)) a step in all")
    var rows: [[TextPage.Cell]] = []
    for function in all {
      var who =
        function.layers.isEmpty
        ? "once"
        : "layer\(function.layers.count == 1 ? "" : "s") \(Units.runs(function.layers, most: 3))"
      if function.isDraft { who = "MTP, " + who }
      for (index, (traffic, count)) in merged(function.traffic).enumerated() {
        let name = Escaping.shortened(Escaping.printable(function.name), to: 20)
        rows.append([
          TextPage.Cell(index == 0 ? name : ""),
          TextPage.Cell(index == 0 ? who : "", .dim),
          TextPage.Cell((count > 1 ? "\(count) x " : "") + traffic.kind.rawValue, .cyan),
          TextPage.Cell("\(traffic.group) \(traffic.ranks)"),
          TextPage.Cell(Units.bytes(traffic.bytes * count), right: true),
          TextPage.Cell(traffic.algorithm, .dim),
        ])
      }
    }
    page.table(rows)
  }

  /// Collectives of one kind and group together, with their number.
  private func merged(_ traffic: [Traffic]) -> [(traffic: Traffic, count: Int)] {
    var found: [(traffic: Traffic, count: Int)] = []
    for one in traffic {
      if let position = found.firstIndex(where: {
        ($0.traffic.kind, $0.traffic.group, $0.traffic.bytes) == (one.kind, one.group, one.bytes)
      }) {
        found[position].count += 1
      } else {
        found.append((one, 1))
      }
    }
    return found
  }
}
