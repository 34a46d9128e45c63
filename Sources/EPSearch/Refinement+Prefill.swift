internal import EPCost
internal import EPPlan

extension Refinement {
  /// The deployments, with prefill by the pools that give the earliest first token of those that fill
  /// as many devices and read all that decoding asks for.
  ///
  /// Throughput does not tell such pools apart where decoding limits it, but users do. Pools that are
  /// only bounded are worked out for it.
  mutating func earliest(
    _ deployments: [Deployment], prefill points: [PoolPoint], _ problem: SearchProblem
  ) -> [Deployment] {
    while true {
      let hastened = deployments.map { earliest($0, among: points, problem) }
      let open = Set(hastened.compactMap(\.prefill).filter { !$0.isExact })
      if open.isEmpty { return hastened }
      // What may be next if these do not keep what they promise is for threads that have no work.
      let rest = points.filter { !open.contains($0) }
      let next = deployments.lazy.compactMap { [self] in
        earliest($0, among: rest, problem).prefill
      }.first { !$0.isExact }
      let isIdle = open.count % evaluators.count > 0
      // A set's order is not that of the next run; what is worked out does not depend on it.
      work(out: Array(open), ahead: isIdle ? next : nil)
    }
  }

  /// The same for one deployment; a pool that is only bounded stands there at its best.
  func earliest(
    _ deployment: Deployment, among points: [PoolPoint], _ problem: SearchProblem
  ) -> Deployment {
    guard let own = deployment.prefill else { return deployment }
    let builder = DeploymentBuilder(
      problem: problem, transferSeconds: deployment.transferSeconds)
    let (devices, variant) = (
      own.devices * deployment.prefillInstances, tables.variant(own.shape)
    )
    var best = deployment
    // A pool that is only bounded stands there at its best: what is late even so need not be looked at.
    for point in points
    where devices % point.devices == 0
      && point.timeToFirstToken + deployment.transferSeconds < best.timeToFirstToken
      && point.requestRate * Double(devices / point.devices)
        >= deployment.requestRate * (1 - 1e-9)
      && tables.variant(point.shape) == variant
    {
      let made = builder.deployment(
        self[point], devices / point.devices, deployment.decode, deployment.decodeInstances)
      guard let made, made.requestRate >= deployment.requestRate * (1 - 1e-9),
        made.timeToFirstToken < best.timeToFirstToken
      else { continue }
      best = made
    }
    return best
  }
}
