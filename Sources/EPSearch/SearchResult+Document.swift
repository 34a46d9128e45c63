internal import EPCost
public import EPIR
public import EPModel
internal import EPPlan

extension SearchResult {
  /// The result as plain data; docs/search.md lists the fields.
  public func document() throws(Diagnostics) -> Document {
    var rows: [Document] = []
    for (deployment, (lower, upper)) in zip(best, intervals) {
      rows.append(
        .object(
          fields(of: deployment) + [
            Document.Field(
              name: "interval",
              value: .object(["lower": .real(lower), "upper": .real(upper)]))
          ]))
    }
    var sensitivity: [Document] = []
    if !best.isEmpty {
      for one in try sensitivities(ofRow: 0) {
        sensitivity.append(
          .object([
            "worse": .text(one.cause.rawValue), "by": .real(Sensitivity.share),
            "tokens_per_second_per_gpu": one.deployment.map { .real($0.throughput) },
            "ttft_ms": one.deployment.map { .real($0.timeToFirstToken * 1e3) },
            "tpot_ms": one.deployment.map { .real($0.timePerToken * 1e3) },
            "keeps_limits": .flag(one.keepsLimits), "best_row": one.bestRow.map { .int($0 + 1) },
          ]))
      }
    }
    return .object([
      "model": .text(problem.program.name), "cluster": .text(problem.cluster.name),
      "prompt_tokens": .int(problem.promptLength), "output_tokens": .int(problem.outputLength),
      "ttft_limit_ms": problem.timeToFirstToken.isFinite
        ? .real(problem.timeToFirstToken * 1e3) : nil,
      "tpot_limit_ms": problem.timePerToken.isFinite ? .real(problem.timePerToken * 1e3) : nil,
      "objective": .text(problem.objective.rawValue), "points": .int(evaluations),
      "pools": .int(shapes), "is_feasible": .flag(!best.isEmpty),
      "closest": best.isEmpty ? .text(infeasibility) : nil, "rows": .list(rows),
      "front": .list(front.map { .object(fields(of: $0)) }), "sensitivity": .list(sensitivity),
    ])
  }

  private func fields(of deployment: Deployment) -> [Document.Field] {
    var fields: [(String, Document)] = [
      ("tokens_per_second_per_gpu", .real(deployment.throughput)),
      ("tokens_per_second_per_user", .real(deployment.tokensPerUser)),
      ("requests_per_second", .real(deployment.requestRate)),
      ("ttft_ms", .real(deployment.timeToFirstToken * 1e3)),
      ("tpot_ms", .real(deployment.timePerToken * 1e3)), ("gpus", .int(deployment.devicesUsed)),
      ("idle_gpus", .int(deployment.devicesIdle)),
    ]
    if let cost = deployment.dollarsPerMillionTokens(problem) {
      fields.append(("cost_per_million_tokens", .real(cost)))
    }
    if let prefill = deployment.prefill {
      fields.append(("prefill", pool(prefill, deployment.prefillInstances)))
      fields.append(("prefill_utilization", .real(deployment.prefillUtilization)))
      fields.append(("transfer_ms", .real(deployment.transferSeconds * 1e3)))
    }
    fields.append(
      (deployment.decode.shape.role.rawValue, pool(deployment.decode, deployment.decodeInstances)))
    return fields.map { Document.Field(name: $0.0, value: $0.1) }
  }

  private func pool(_ point: PoolPoint, _ instances: Int) -> Document {
    let mesh = point.shape.mesh
    return .object([
      "instances": .int(instances), "pp": .int(mesh.pp), "dp": .int(mesh.dp), "tp": .int(mesh.tp),
      "ep": .int(mesh.ep), "slots_per_rank": .int(point.shape.slotsPerRank),
      "mtp": .int(point.shape.drafts),
      "exchange": mesh.ep > 1
        ? .text(
          problem.gathersTokens
            ? "all_gather" : point.shape.isLowLatency ? "low_latency" : "normal") : nil,
      "overlap": .text(point.overlap.text),
      "weights": .text(point.shape.precision.experts.rawValue),
      "attention": .text(point.shape.attention.rawValue),
      "sequences_per_group": point.sequences > 0 ? .int(point.sequences) : nil,
      "prompt_tokens_per_group": point.promptTokens > 0 ? .int(point.promptTokens) : nil,
      "step_ms": .real(point.step * 1e3), "balancedness": .real(point.balancedness),
    ])
  }
}
