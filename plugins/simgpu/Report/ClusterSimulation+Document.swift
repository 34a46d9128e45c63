internal import EPCost
internal import EPIR
public import EPModel
internal import EPPlan

extension ClusterSimulation {
  /// The results as plain data; docs/simgpu.md lists the fields.
  public var document: Document {
    .object([
      "model": .text(plan.model.name), "cluster": .text(plan.cluster.name),
      "seed": .text(String(options.routing.seed)),
      "pools": .list(pools.indices.map { document(of: $0) }),
      "health": health.map { health in
        .object([
          "probes_ms": .real(health.seconds * 1e3),
          "findings": .list(health.findings.map(\.document)),
        ])
      },
      "faults": faults.isEmpty ? nil : .list(faults.map(\.document)),
    ])
  }

  private func document(of number: Int) -> Document {
    let (pool, outcome, memory) = (pools[number].pool, pools[number].outcome, memory[number])
    let step = outcome.stepSeconds
    func spread(_ values: (least: Double, median: Double, most: Double)) -> Document {
      .object([
        "min": .real(values.least), "median": .real(values.median), "max": .real(values.most),
      ])
    }
    let (least, median, most) = memory.spread
    return .object([
      "role": .text(pool.role.rawValue), "mesh": .text(pool.mesh.description),
      "ranks": .int(pool.mesh.ranks), "steps": .int(outcome.steps.count),
      "step_ns": .ints(outcome.steps.map(\.nanoseconds)),
      "step_ms": .real(step * 1e3),
      "predicted_ms": .real(outcome.predicted * 1e3),
      "tokens_per_second_per_gpu": .real(
        step > 0 ? Double(pools[number].tokensPerStep) / step / Double(pool.mesh.ranks) : 0),
      "exposed_communication": .real(outcome.exposedCommunication),
      "compute_utilisation": spread(Text.spread(outcome.computeUse)),
      "communication_utilisation": spread(Text.spread(outcome.communicationUse)),
      "memory_bytes": .object([
        "min": .int(least), "median": .int(median), "max": .int(most),
        "capacity": .int(memory.capacity),
      ]),
      "balancedness": .real(outcome.balancedness),
      "layers": .list(
        outcome.layers.map { layer in
          .object([
            "layer": .int(layer.layer), "balancedness": .real(layer.balancedness),
            "most_rows": .int(layer.mostRows), "capacity": .int(layer.capacity),
            "overflows": .int(layer.overflows),
          ])
        }),
      "job_events": .int(outcome.events),
    ])
  }
}
