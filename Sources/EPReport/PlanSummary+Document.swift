internal import EPIR
public import EPModel
internal import EPPlan

extension PlanSummary {
  /// The summary as data, for `--format json`: bytes and counts as exact integers.
  public var document: Document {
    let (model, cluster) = (plan.model, plan.cluster)
    let first = plan.pools.first.map { PoolSummary(pool: $0) }
    return .object([
      "model": .object([
        "name": .text(model.name), "parameters": .int(model.parameters),
        "activated_parameters": .int(model.activatedParameters),
        "draft_parameters": .int(model.draftParameters),
        "layers": .int(first?.layerCount ?? 0),
        "expert_layers": .int(first?.expertLayerCount ?? 0),
        "mtp_depth": .int(plan.pools.first?.drafts.count ?? 0),
        "hidden": .int(model.hidden), "vocabulary": .int(model.vocabulary),
        "precision": model.precision.document,
      ]),
      "cluster": .object([
        "name": .text(cluster.name), "device": .text(cluster.device),
        "nodes": .int(cluster.nodes), "devices_per_node": .int(cluster.devicesPerNode),
        "usable_bytes": .int(cluster.usableBytes),
      ]),
      "pools": .list(plan.pools.map { document(of: PoolSummary(pool: $0)) }),
      "handover": plan.handover.map { handover in
        .object([
          "from": .text(plan.pools[handover.from].role.rawValue),
          "to": .text(plan.pools[handover.to].role.rawValue),
          "bytes_per_token": .int(handover.bytes(context: 1) - handover.bytes(context: 0)),
          "bytes_per_sequence": .int(handover.bytes(context: 0)),
        ])
      },
      "decisions": .texts(plan.decisions),
    ])
  }

  private func document(of summary: PoolSummary) -> Document {
    let pool = summary.pool
    let cache = summary.cacheBytes
    return .object([
      "role": .text(pool.role.rawValue), "first_rank": .int(pool.firstRank),
      "ranks": .int(pool.mesh.ranks),
      "mesh": .object([
        "pp": .int(pool.mesh.pp), "dp": .int(pool.mesh.dp), "tp": .int(pool.mesh.tp),
        "ep": .int(pool.mesh.ep),
      ]),
      "sequences": .int(pool.load.sequences), "tokens": .int(pool.load.tokens),
      "context": .int(pool.load.context),
      "pipeline": pool.pipeline.map { pipeline in
        .object([
          "lots": .int(pipeline.lots), "stages_ns": .ints(pipeline.stages),
          "period_ns": .int(pipeline.period), "bubble": .real(pipeline.bubble),
        ])
      },
      "attention": .texts(summary.phrases(\.attention).map(\.text)),
      "experts": .texts(summary.placements.map(\.text)),
      "cache_bytes_per_token": .int(cache.perToken),
      "cache_bytes_per_sequence": .int(cache.perSequence),
      "memory": .list(
        pool.memory.map { table in
          .object(
            table.parts.map { part in
              Document.Field(
                name: part.name.replacing(" ", with: "_").lowercased(), value: .int(part.bytes))
            } + [Document.Field(name: "total", value: .int(table.total))])
        }),
      "arena": .object([
        "bytes": .int(summary.arena?.bytes ?? 0), "least": .int(summary.arena?.least ?? 0),
      ]),
      "collectives": .list(
        summary.collectives.flatMap { function in
          function.traffic.map { traffic in
            .object([
              "function": .text(function.name), "calls": .int(function.calls),
              "operation": .text(traffic.kind.rawValue), "group": .text(traffic.group),
              "ranks": .int(traffic.ranks),
              "algorithm": traffic.algorithm.isEmpty ? nil : .text(traffic.algorithm),
              "bytes": .int(traffic.bytes),
            ])
          }
        }),
      "bytes_sent_in_step": .int(summary.bytesSentInStep),
    ])
  }
}
