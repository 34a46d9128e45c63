internal import EPCost
public import EPModel

extension SearchResult {
  /// What it costs to serve a demand, for people.
  public func ownershipText(_ rows: [Ownership], requestRate: Double) -> String {
    var columns = TextColumns(
      [
        "deployment", "tokens/s/GPU", "times", "GPUs for \(requestRate.text(1)) requests/s",
        "$/month", "$/M tokens", "pools",
      ], right: [1, 2, 3, 4, 5])
    let base = rows.first { $0.kind == .conventional }?.deployment?.throughputOfUsed
    for row in rows {
      let name = row.kind == .found ? "best found" : "tensor and pipeline parallel"
      guard let deployment = row.deployment else {
        columns.add([name, "-", "-", "-", "-", "-", "none keeps the limits"])
        continue
      }
      columns.add([
        name, deployment.throughputOfUsed.text(0),
        base.map { (deployment.throughputOfUsed / $0).text(2) } ?? "-", "\(row.devices)",
        row.dollarsPerMonth?.text(0) ?? "-", row.dollarsPerMillionTokens?.text(2) ?? "-",
        [
          deployment.prefill.map { "\(deployment.prefillInstances) x \($0.label)" },
          "\(deployment.decodeInstances) x \(deployment.decode.label)",
        ].compactMap { $0 }.joined(separator: "; "),
      ])
    }
    let price =
      problem.dollarsPerHour.map { price in
        let source = problem.cluster.hardware.priceSource
        let isListed = price == problem.cluster.hardware.dollarsPerHour
        return "\(price.text(2)) dollars a device and hour"
          + (isListed ? source.map { " (\($0))" } ?? "" : "")
      }
      ?? "no price known; '--price' sets one"
    return "cost of ownership\n" + columns.text
      + "assumed: whole deployments, used devices paid for \(Ownership.hoursPerMonth.text(0)) hours a "
      + "month, \(price); the same\nkernels, limits, MTP and routing for both; the second has one "
      + "data group a pool and no expert parallelism\n"
  }

  /// The same as plain data.
  public func ownershipDocument(_ rows: [Ownership], requestRate: Double) -> Document {
    .object([
      "requests_per_second": .real(requestRate),
      "hours_per_month": .real(Ownership.hoursPerMonth),
      "dollars_per_gpu_hour": problem.dollarsPerHour.map(Document.real),
      "rows": .list(
        rows.map { row in
          .object([
            "kind": .text(row.kind.rawValue), "is_feasible": .flag(row.deployment != nil),
            "copies": .int(row.copies), "gpus": .int(row.devices),
            "tokens_per_second_per_used_gpu": row.deployment.map { .real($0.throughputOfUsed) },
            "cost_per_month": row.dollarsPerMonth.map(Document.real),
            "cost_per_million_tokens": row.dollarsPerMillionTokens.map(Document.real),
          ])
        }),
    ])
  }
}
