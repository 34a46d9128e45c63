internal import EPIR
internal import EPModel
internal import EPPlan

extension KernelPlanner {
  mutating func plan(_ planned: KernelOutline.Exchange) {
    let mesh = estimator.pool.mesh
    let (isCombine, hidden) = (planned.isCombine, planned.hidden)
    let isLowLatency = estimator.usesLowLatency(planned.algorithm)
    let format: Precision.Format = isCombine ? .bf16 : estimator.dispatchFormat
    let own = count(planned.rows)
    let routed = slotRows.sum
    // Where each expert is split over a data group, a group's ranks lie a group apart.
    let node = max(1, estimator.devicesPerNode / (mesh.holdsWholeExperts ? 1 : mesh.tp))
    if mesh.ep > 1 && estimator.gathersTokens {
      planGathered(isCombine: isCombine, rows: own, hidden: hidden, node: Double(node))
    } else if mesh.ep > 1 {
      let visited = estimator.nodesVisited(
        placement, layer: layer, nodes: (mesh.ep + node - 1) / node, topK: planned.copies,
        experts: planned.experts, groups: planned.groups, keptGroups: planned.keptGroups)
      var exchange = Kernel.Exchange(
        isCombine: isCombine, isLowLatency: isLowLatency, ranks: Double(mesh.ep),
        node: Double(node), rows: own, copies: Double(planned.copies),
        nodesVisited: visited,
        rowBytes: Kernel.Exchange.rowBytes(hidden: hidden, format: format), format: format,
        imbalance: imbalance)
      var waited = exchange
      if !isLowLatency, let traffic = estimator.forwardedTraffic(exchange, placement, layer: layer)
      {
        exchange.imbalance = traffic.max() ?? 1
        waited.imbalance = 1
      }
      add(isCombine ? .combine : .dispatch, .exchange(exchange))
      if !isLowLatency { addBarrier(before: waited) }
    }
    // Normal kernels leave rows in the order they came: one more kernel sorts them by expert, and
    // one adds them up again.
    if mesh.ep == 1 || !isLowLatency {
      add(
        .other,
        .stream(Kernel.Stream(bytes: 2 * routed * hidden * format.bytes)),
        name: isCombine ? "gather" : "permute")
    }
  }

  /// An exchange without All-to-All: every rank gathers the rows of all, whatever their experts, and
  /// the ranks' sums of all rows are scattered. Rows are quantised on the way only in 4 bits, as in
  /// TensorRT-LLM; sums lie in memory for all rows, not only for those that a rank has experts for.
  private mutating func planGathered(
    isCombine: Bool, rows: Double, hidden: Double, node: Double
  ) {
    let ranks = Double(estimator.pool.mesh.ep)
    let isPacked = !isCombine && estimator.precision.experts == .nvfp4
    let bytes = rows * ranks * hidden * (isPacked ? Precision.Format.nvfp4 : .bf16).bytes
    if isCombine {
      add(.other, .stream(Kernel.Stream(bytes: bytes, launches: 0)), name: "sums")
    }
    add(
      isCombine ? .combine : .dispatch,
      .collective(
        Kernel.Collective(
          form: isCombine ? .reduceScatter : .allGather, ranks: ranks, node: node, bytes: bytes)))
  }

  /// The wait for the slowest peer: a share of the exchange that was just added. Where loads are given, of one
  /// under even routing, since what peers take longer is in their kernels; a balance that is assumed has
  /// no other place to show.
  private mutating func addBarrier(before exchange: Kernel.Exchange) {
    let assumptions = estimator.model.assumptions
    let share = exchange.isCombine ? assumptions.combineBarrier : assumptions.dispatchBarrier
    let kernel = Kernel.exchange(exchange)
    if let times {
      guard var barrier = timed.last else { return }
      barrier.part = .barrier
      barrier.seconds = seconds(of: kernel, times) * share
      timed.append(barrier)
      return
    }
    guard var barrier = estimates.last else { return }
    barrier.name += " barrier"
    barrier.part = .barrier
    barrier.kernel = kernel
    barrier.time = estimator.model.time(of: kernel).scaled(by: share)
    barrier.time.provenance = .derived
    barrier.time.source = "waits in DeepSeek's prefill profile"
    (barrier.floor, barrier.bytes, barrier.bound) = (0, 0, .latency)
    estimates.append(barrier)
  }

  mutating func plan(_ planned: KernelOutline.Collective) {
    let mesh = estimator.pool.mesh
    var whole = bytes(planned.whole)
    if planned.form == .allGather { whole *= Double(mesh.size(of: planned.group)) }
    let ranks = planned.form == .pointToPoint ? 2 : mesh.size(of: planned.group)
    // Stages lie in nodes of their own as soon as one fills a node.
    let isAcross =
      planned.group == .pipeline && mesh.stageRanks >= estimator.devicesPerNode
    add(
      .collective,
      .collective(
        Kernel.Collective(
          form: planned.form, ranks: Double(ranks),
          node: isAcross ? 1 : Double(estimator.devicesPerNode), bytes: whole)))
  }
}
