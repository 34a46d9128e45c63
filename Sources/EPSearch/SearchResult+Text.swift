internal import EPCost
public import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan

extension SearchResult {
  /// The result for people: the best rows and why, the front, what they are sensitive to.
  public func text() throws(Diagnostics) -> String {
    var text = header
    if best.isEmpty { return text }
    text += table() + "\n"
    for index in best.indices.prefix(2) {
      text += "why row \(index + 1)\n" + reasons(ofRow: index).map { "  - \($0)\n" }.joined()
    }
    text += "\ntokens for a user against tokens for a device, first token in time\n" + frontTable
    text += "\n" + (try sensitivityTable(ofRow: 0))
    return text
  }

  private var header: String {
    let limits = [
      problem.timeToFirstToken.isFinite
        ? "the first token within \((problem.timeToFirstToken * 1e3).text(0)) ms" : nil,
      problem.timePerToken.isFinite
        ? "\((problem.timePerToken * 1e3).text(1)) ms a token" : nil,
    ].compactMap { $0 }
    return "\(problem.program.name) on \(problem.cluster.name): prompts of \(problem.promptLength) "
      + "tokens, answers of \(problem.outputLength)"
      + (limits.isEmpty ? "" : "; " + limits.joined(separator: ", ")) + "\n"
      + "best by \(problem.objective.rawValue), out of \(evaluations) points worked out of "
      + "\(shapes) kinds of pools\n\n"
  }

  private func table() -> String {
    var columns = TextColumns(
      [
        "row", "tokens/s/GPU", "90 %", "tokens/s/user", "TTFT ms", "TPOT ms", "prefill", "decode",
        "GPUs", "idle", "$/M tokens",
      ], right: [0, 1, 3, 4, 5, 8, 9, 10])
    for (index, (deployment, (lower, upper))) in zip(best, intervals).enumerated() {
      columns.add([
        "\(index + 1)", deployment.throughput.text(0), "\(lower.text(0))-\(upper.text(0))",
        deployment.tokensPerUser.text(1), (deployment.timeToFirstToken * 1e3).text(0),
        (deployment.timePerToken * 1e3).text(1),
        deployment.prefill.map { "\(deployment.prefillInstances) x \($0.label)" } ?? "-",
        "\(deployment.decodeInstances) x \(deployment.decode.label)",
        "\(deployment.devicesUsed)", "\(deployment.devicesIdle)",
        deployment.dollarsPerMillionTokens(problem)?.text(2) ?? "-",
      ])
    }
    return columns.text
  }

  /// Those of all rows.
  var intervals: [(lower: Double, upper: Double)] {
    concurrentMap(best.count, threads: threads) { interval(best[$0]) }
  }

  /// The 90 % interval of tokens a second and device: that of the slower pool's step, both ways.
  func interval(_ deployment: Deployment) -> (lower: Double, upper: Double) {
    var (lower, upper) = (1.0, 1.0)
    for (index, estimate) in estimates(of: deployment).enumerated() {
      let (below, above) = (
        estimate.step.value / estimate.step.upper, estimate.step.value / estimate.step.lower
      )
      (lower, upper) = index == 0 ? (below, above) : (min(lower, below), max(upper, above))
    }
    return (deployment.throughput * lower, deployment.throughput * upper)
  }

  /// Why a row is as it is.
  public func reasons(ofRow row: Int) -> [String] {
    let deployment = best[row]
    let evaluator = PoolEvaluator(tables)
    var reasons = [decodeReason(deployment.decode, evaluator)]
    let decode = deployment.decode
    if decode.shape.slotsPerRank > 0 {
      let slots = decode.shape.slotsPerRank * decode.shape.mesh.ep
      reasons.append(
        "experts: \(slots) slots on \(decode.shape.mesh.ep) ranks; the busiest takes "
          + "\((1 / decode.balancedness).text(2)) times the mean of the assumed loads")
    }
    if decode.shape.drafts > 0 {
      reasons.append(
        "drafts: \(evaluator.gained(decode.shape).text(2)) tokens a step with MTP depth "
          + "\(decode.shape.drafts) at an acceptance of \(problem.acceptance.text(2))")
    }
    if let prefill = deployment.prefill {
      reasons.append(
        "prefill: \(prefill.promptTokens) tokens a data group and step of "
          + "\((prefill.step * 1e3).text(0)) ms, busy \((deployment.prefillUtilization * 100).text(0)) "
          + "% of the time; the cache takes \((deployment.transferSeconds * 1e3).text(1)) ms to the "
          + "decode pool")
    }
    if deployment.devicesIdle > 0 {
      reasons.append("\(deployment.devicesIdle) devices stay idle: no pool of that size does more")
    }
    let isApart = deployment.prefill != nil
    if let other = best.first(where: { ($0.prefill != nil) != isApart }) {
      let ratio = deployment.score(problem) / max(other.score(problem), 1e-30)
      reasons.append(
        "\(ratio.text(2)) times the \(problem.objective.rawValue) of the best with prompts read "
          + (isApart ? "in the decode pool" : "in a pool of their own"))
    }
    return reasons
  }

  private func decodeReason(_ point: PoolPoint, _ evaluator: PoolEvaluator) -> String {
    let own = "decode: \(point.sequences) sequences a data group"
    let sizes = problem.space.sequences
    guard let next = sizes.first(where: { $0 > point.sequences }) else { return own }
    if !evaluator.fits(point.shape, sequences: next, promptTokens: point.promptTokens) {
      return own + "; memory has no room for \(next)"
    }
    var larger = point
    larger.sequences = next
    guard let again = evaluator.again(larger) else {
      return own + "; low-latency exchanges take no more"
    }
    if again.timePerToken > problem.timePerToken {
      return own + "; with \(next) a token would take \((again.timePerToken * 1e3).text(1)) ms"
    }
    if again.requestRate <= point.requestRate || point.promptTokens > 0 {
      return own + "; with \(next) prompts could not be read in time"
    }
    return own + "; as many as prefill can feed"
  }

  private var frontTable: String {
    var columns = TextColumns(
      ["tokens/s/user", "tokens/s/GPU", "TTFT ms", "prefill", "decode", "idle"],
      right: [0, 1, 2, 5])
    for deployment in front {
      columns.add([
        deployment.tokensPerUser.text(1), deployment.yield(problem.objective).text(0),
        (deployment.timeToFirstToken * 1e3).text(0),
        deployment.prefill.map { "\(deployment.prefillInstances) x \($0.label)" } ?? "-",
        "\(deployment.decodeInstances) x \(deployment.decode.label)", "\(deployment.devicesIdle)",
      ])
    }
    return columns.text
  }

  private func sensitivityTable(ofRow row: Int) throws(Diagnostics) -> String {
    var columns = TextColumns(
      ["20 % worse", "tokens/s/GPU", "TTFT ms", "TPOT ms", "limits", "best row"],
      right: [1, 2, 3, 5])
    for sensitivity in try sensitivities(ofRow: row) {
      let deployment = sensitivity.deployment
      columns.add([
        sensitivity.cause.rawValue, deployment?.throughput.text(0) ?? "-",
        deployment.map { ($0.timeToFirstToken * 1e3).text(0) } ?? "-",
        deployment.map { ($0.timePerToken * 1e3).text(1) } ?? "-",
        sensitivity.keepsLimits ? "kept" : "broken",
        sensitivity.bestRow.map { "\($0 + 1)" } ?? "none",
      ])
    }
    return columns.text
  }

  /// What is closest to feasible.
  public var infeasibility: String {
    var lines = ["no deployment keeps the limits"]
    if let earliest {
      let seconds = earliest.timeToFirstToken
      lines.append(
        "the earliest first token comes after \((seconds * 1e3).text(0)) ms, from "
          + "\(earliest.shape.role.rawValue) \(earliest.label)"
          + (seconds > problem.timeToFirstToken ? ": the limit is below that" : ""))
    }
    if let fastest {
      lines.append(
        "the fastest tokens take \((fastest.timePerToken * 1e3).text(1)) ms, from "
          + "\(fastest.shape.role.rawValue) \(fastest.label)"
          + (fastest.timePerToken > problem.timePerToken ? ": the limit is below that" : ""))
    }
    if let nearest = front.last {
      lines.append(
        "closest: \((nearest.timePerToken * 1e3).text(1)) ms a token, the first after "
          + "\((nearest.timeToFirstToken * 1e3).text(0)) ms, \(nearest.throughput.text(0)) tokens/s a "
          + "device; '--tpot \((nearest.timePerToken * 1e3).rounded(.up).text(0))' is feasible")
    } else if let earliest, problem.timeToFirstToken.isFinite {
      let wanted = (earliest.timeToFirstToken * 1.25 * 1e3).rounded(.up)
      lines.append("'--ttft \(wanted.text(0))' may be feasible")
    }
    return lines.joined(separator: "; ")
  }
}

extension PoolPoint {
  /// `dp16 ep16 x56`: the mesh without sizes of 1, and sequences or tokens of a data group.
  public var label: String {
    let mesh = shape.mesh
    let sizes = [("pp", mesh.pp), ("dp", mesh.dp), ("tp", mesh.tp), ("ep", mesh.ep)]
      .filter { $0.1 > 1 }.map { "\($0.0)\($0.1)" }
    var text = sizes.isEmpty ? "1" : sizes.joined(separator: " ")
    switch shape.role {
    case .prefill: text += ", \(promptTokens) tokens"
    case .decode: text += ", batch \(sequences)"
    case .unified: text += ", batch \(sequences) + \(promptTokens) tokens"
    }
    if shape.drafts > 0 && shape.role != .prefill { text += ", mtp\(shape.drafts)" }
    if case .microBatches(let count) = overlap, count > 1 {
      text += ", \(count) micro-batches"
    }
    return text
  }
}
