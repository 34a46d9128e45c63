internal import EPIR
internal import EPModel
internal import EPPlan

extension ExportBundle {
  /// What no engine can be told, and what no plan knows.
  mutating func remark(on plan: Plan, _ request: ExportRequest, shapes: [PoolShape]) {
    if request.model == nil {
      remarks.append(
        Remark(
          "checkpoint",
          "a plan does not know where the checkpoint is; '\(plan.model.name)' stands for it, "
            + "'--model' says it"))
    }
    if request.hosts.isEmpty && target != .kubernetes {
      remarks.append(
        Remark("hosts", "the nodes are called node0, node1 and so on; '--hosts' names them"))
    }
    let precision = plan.model.precision
    remarks.append(
      Remark(
        "precision",
        "the plan counts on \(precision.linear.rawValue) matrices and \(precision.experts.rawValue) "
          + "experts; engines take what the checkpoint says of itself"))
    remarks.append(
      Remark(
        "schedule",
        "streams, waits, buffers and the room for routed rows are the engine's own"))
    let contexts = Set(plan.pools.map(\.load.context)).sorted().map(String.init)
    remarks.append(
      Remark(
        "context",
        "caches are planned for contexts of \(contexts.joined(separator: " and ")) tokens on "
          + "average; an engine fills the memory it is given and takes the model's longest context")
    )
    for shape in shapes where shape.instances > 1 {
      remarks.append(
        Remark(
          "instances",
          "\(shape.role.rawValue): the \(shape.instances) copies of all experts are engine "
            + "instances of their own; a router spreads requests over them"))
    }
    if plan.handover != nil
      && Set(shapes.map(\.tp)).count > 1
    {
      remarks.append(
        Remark(
          "handover",
          "prefill and decode split attention over different numbers of ranks; the engine's "
            + "connector has to convert caches, which not every one does for every attention"))
    }
  }
}
