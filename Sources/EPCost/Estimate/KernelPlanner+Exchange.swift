internal import EPIR
internal import EPModel
internal import EPPlan

extension KernelPlanner {
  mutating func plan(_ index: Int, _ planned: KernelOutline.Exchange) {
    let mesh = estimator.pool.mesh
    let (isCombine, hidden) = (planned.isCombine, planned.hidden)
    let isLowLatency = estimator.usesLowLatency(planned.algorithm)
    let format: Precision.Format = isCombine ? .bf16 : estimator.dispatchFormat
    let own = count(planned.rows)
    let routed = slotRows.sum
    // Where each expert is split over a data group, a group's ranks lie a group apart.
    let node = max(1, estimator.devicesPerNode / (mesh.holdsWholeExperts ? 1 : mesh.tp))
    if mesh.ep > 1 && estimator.gathersTokens {
      planGathered(index, isCombine: isCombine, rows: own, hidden: hidden, node: Double(node))
    } else if mesh.ep > 1 {
      let visited = estimator.nodesVisited(
        placement, layer: layer, nodes: (mesh.ep + node - 1) / node, topK: planned.copies,
        experts: planned.experts, route: planned.route)
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
      add(index, isCombine ? .combine : .dispatch, .exchange(exchange))
      if !isLowLatency { addBarrier(before: waited) }
    }
    // Normal kernels leave rows in the order they came: one more kernel sorts them by expert, and
    // one adds them up again.
    if mesh.ep == 1 || !isLowLatency {
      add(
        index, .other,
        .stream(Kernel.Stream(bytes: 2 * routed * hidden * format.bytes)),
        name: isCombine ? "gather" : "permute")
    }
  }

  /// An exchange without All-to-All: every rank gathers the rows of all, whatever their experts, and
  /// the ranks' sums of all rows are scattered. Rows are quantised on the way only in 4 bits, as in
  /// TensorRT-LLM; sums lie in memory for all rows, not only for those that a rank has experts for.
  private mutating func planGathered(
    _ index: Int, isCombine: Bool, rows: Double, hidden: Double, node: Double
  ) {
    let ranks = Double(estimator.pool.mesh.ep)
    let isPacked = !isCombine && estimator.precision.experts == .nvfp4
    let bytes = rows * ranks * hidden * (isPacked ? Precision.Format.nvfp4 : .bf16).bytes
    if isCombine {
      add(index, .other, .stream(Kernel.Stream(bytes: bytes, launches: 0)), name: "sums")
    }
    add(
      index, isCombine ? .combine : .dispatch,
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
      barrier.seconds = times.seconds(of: kernel, on: estimator.model) * share
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

  mutating func planCollective(_ index: Int) {
    let operation = function.operations[index]
    guard case .value(let x)? = operation.operand("x"),
      let group = Mesh.Group(rawValue: operation.attributes.text("group"))
    else { return }
    let mesh = estimator.pool.mesh
    let form: Kernel.Collective.Form
    var whole = bytes(of: x)
    switch operation.kind {
    case .allReduce: form = .allReduce
    case .allGather:
      form = .allGather
      whole *= Double(mesh.size(of: group))
    case .reduceScatter: form = .reduceScatter
    default: form = .pointToPoint
    }
    let ranks = form == .pointToPoint ? 2 : mesh.size(of: group)
    // Stages lie in nodes of their own as soon as one fills a node.
    let isAcross = group == .pipeline && mesh.stageRanks >= estimator.devicesPerNode
    add(
      index, .collective,
      .collective(
        Kernel.Collective(
          form: form, ranks: Double(ranks),
          node: isAcross ? 1 : Double(estimator.devicesPerNode), bytes: whole)))
  }
}
