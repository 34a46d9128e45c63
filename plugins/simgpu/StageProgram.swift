internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

/// What the ranks of one pipeline stage issue in a step: lists of jobs, and which layers call them.
struct StageProgram {
  /// A call of a list.
  struct Call {
    var list: Int
    var layer: Int
    /// The layer's routing, as an index into `routings`, or nil without experts.
    var routing: Int?
  }

  var lists: [IssueList] = []
  var calls: [Call] = []
  var routings: [LayerRouting] = []
  var members: ExpertMembers

  init(
    stage: Int, estimator: StepEstimator, routing: RoutingSource, keepsTraffic: Bool
  ) {
    let pool = estimator.pool
    members = ExpertMembers(pool.mesh, devicesPerNode: estimator.devicesPerNode)
    let tokens = Int(
      (estimator.step.tokens / Double(max(estimator.microBatches, 1))).rounded(.up))
    var known: [Int: Int] = [:]
    for call in pool.calls(ofStage: stage) {
      let function = pool.functions[call.function].function
      let isHead =
        stage == pool.stages.count - 1 && call.layers.isEmpty
        && function.results.contains { $0.name == "logits" }
      let list: Int
      if let made = known[call.function] {
        list = made
      } else {
        list = lists.count
        known[call.function] = list
        lists.append(
          IssueList(
            function: call.function, layer: call.layers.first ?? -1, estimator: estimator,
            sampling: isHead))
      }
      let shape = DispatchShape(function)
      for layer in call.layers.isEmpty ? [-1] : call.layers {
        var index: Int?
        if let shape, let placement = pool.placement(function: call.function, layer: layer) {
          index = routings.count
          routings.append(
            LayerRouting(
              layer: layer, shape: shape, placement: placement, members: members, mesh: pool.mesh,
              tokens: tokens, source: routing, loads: estimator.loads?.row(ofLayer: layer),
              exchange: lists[list].exchanges.first,
              keepsPairs: keepsTraffic))
        }
        calls.append(Call(list: list, layer: layer, routing: index))
      }
    }
  }
}
