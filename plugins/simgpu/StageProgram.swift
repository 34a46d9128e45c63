internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

/// What the ranks of one pipeline stage issue in a step: lists of jobs, and which layers call them.
struct StageProgram {
  /// A list that is run: for one layer and micro-batch, or interleaved for all micro-batches of layers
  /// that follow each other.
  struct Call {
    var list: Int
    /// The layers, or -1 for a function that belongs to none.
    var layers: [Int]
    /// The first micro-batch.
    var batch: Int
    /// How many there are.
    var batches: Int
    /// The routing of each layer's micro-batches, as indices into `routings`; empty without experts.
    var routings: [Int]
    /// What is issued, in order.
    var order: [IssueList.Issue]

    /// The routing of what is issued.
    func routing(of issue: IssueList.Issue) -> Int? {
      routings.isEmpty ? nil : routings[issue.layer * batches + issue.batch]
    }
  }

  var lists: [IssueList] = []
  var calls: [Call] = []
  var routings: [LayerRouting] = []
  /// The list that a routing is for.
  var listOfRouting: [Int] = []
  let members: ExpertMembers
  private let stage: Int
  private let estimator: StepEstimator

  /// Makes the calls of a stage; `estimator` has the step cut into all micro-batches.
  init(
    stage: Int, estimator: StepEstimator, routing: RoutingSource, keepsTraffic: Bool
  ) {
    self.stage = stage
    self.estimator = estimator
    let pool = estimator.pool
    members = ExpertMembers(pool.mesh, devicesPerNode: estimator.devicesPerNode)
    var known: [Int: Int] = [:]
    var next = pool.calls(ofStage: stage)[...]
    while let call = next.popFirst() {
      let sharded = pool.functions[call.function]
      var layers = call.layers.isEmpty ? [-1] : Array(call.layers)
      if sharded.schedule != nil {
        while let following = next.first, following.function == call.function {
          layers += following.layers
          next.removeFirst()
        }
      }
      let list: Int
      if let made = known[call.function] {
        list = made
      } else {
        list = lists.count
        known[call.function] = list
        lists.append(makeList(call))
      }
      if sharded.schedule != nil {
        add(list, call.function, layers, batches: 0..<pool.microBatches, routing, keepsTraffic)
        continue
      }
      for layer in layers {
        for batch in 0..<pool.microBatches {
          add(list, call.function, [layer], batches: batch..<(batch + 1), routing, keepsTraffic)
        }
      }
    }
  }

  private func makeList(_ call: ModelProgram.Call) -> IssueList {
    let pool = estimator.pool
    let sharded = pool.functions[call.function]
    let layer = call.layers.first ?? -1
    if let schedule = sharded.schedule {
      return IssueList(
        scheduled: call.function, by: schedule, layer: layer, estimator: estimator)
    }
    let isHead =
      stage == pool.stages.count - 1 && call.layers.isEmpty
      && sharded.function.results.contains { $0.name == "logits" }
    return IssueList(
      function: call.function, layer: layer, estimator: estimator, sampling: isHead)
  }

  private mutating func add(
    _ list: Int, _ function: Int, _ layers: [Int], batches: Range<Int>, _ source: RoutingSource,
    _ keepsTraffic: Bool
  ) {
    let pool = estimator.pool
    let tokens = Int((estimator.step.tokens / Double(pool.lots)).rounded(.up))
    var call = Call(
      list: list, layers: layers, batch: batches.lowerBound, batches: batches.count, routings: [],
      order: lists[list].order(layers: layers.count))
    for layer in layers {
      guard let shape = DispatchShape(pool.functions[function].function),
        let placement = pool.placement(function: function, layer: layer)
      else { break }
      let exchange = lists[list].exchanges.first
      let forwarded = exchange.flatMap {
        $0.exchange.isLowLatency
          ? nil : estimator.forwardedTraffic($0.exchange, placement, layer: layer)
      }
      for batch in batches {
        call.routings.append(routings.count)
        listOfRouting.append(list)
        routings.append(
          LayerRouting(
            layer: layer, batch: batch, shape: shape, placement: placement, members: members,
            mesh: pool.mesh,
            tokens: tokens * (batch + 1) / pool.microBatches - tokens * batch / pool.microBatches,
            source: source,
            loads: estimator.loads?.row(ofLayer: layer), traffic: forwarded, exchange: exchange,
            keepsPairs: keepsTraffic))
      }
    }
    calls.append(call)
  }
}
