internal import EPCost

/// How near the cost model is meant to come, and whether it does.
extension ValidationReport {
  /// What is asked for, what there is, and whether that holds; nil where nothing was compared.
  private var targets: [(target: String, found: String, holds: Bool)?] {
    let (error, covered) = (throughputs.medianError, throughputs.coverage)
    return [
      parts(of: "DeepSeek decode"), parts(of: "DeepSeek prefill"),
      cases("SGLang PD", .prefill, "h100"), cases("SGLang PD", .decode, "h100"),
      orders("overlap of two batches"), orders("expert ranks"),
      throughputs.isEmpty
        ? nil
        : (
          "median error under 12 % over all throughputs",
          "\((error * 100).text(1)) % of \(throughputs.count)", error < 0.12
        ),
      throughputs.isEmpty
        ? nil
        : (
          "90 % intervals cover 85 to 95 %", "\((covered * 100).text(0)) %",
          covered >= 0.85 && covered <= 0.95
        ),
    ]
  }

  private func parts(of layer: String) -> (target: String, found: String, holds: Bool)? {
    let rows = layers.filter { $0.layer.hasPrefix(layer) }
    guard let worst = rows.max(by: { abs($0.error) < abs($1.error) }) else { return nil }
    return (
      "each part of a layer of \(layer) within 15 %",
      "at most \(worst.error.signedPercent) (\(worst.part))", abs(worst.error) <= 0.15
    )
  }

  private func cases(
    _ system: String, _ phase: MeasuredCase.Phase, _ hardware: String
  ) -> (target: String, found: String, holds: Bool)? {
    let rows = throughputs.filter {
      $0.measured.system == system && $0.measured.phase == phase
        && $0.measured.hardware == hardware
    }
    if rows.isEmpty { return nil }
    let outside = rows.filter { abs($0.error) > 0.15 }
    let names = outside.map { "\($0.measured.id) \($0.error.signedPercent)" }
    return (
      "\(system), \(phase.rawValue) on \(hardware): each case within 15 %",
      "\(rows.count - outside.count) of \(rows.count)"
        + (names.isEmpty ? "" : "; \(names.joined(separator: ", "))"), outside.isEmpty
    )
  }

  private func orders(_ name: String) -> (target: String, found: String, holds: Bool)? {
    guard let columns = Self.orders.first(where: { $0.0 == name })?.1 else { return nil }
    let (pairs, wrong) = order(of: columns)
    if pairs == 0 { return nil }
    return (
      "\(name): the faster of each pair", "\(pairs - wrong.count) of \(pairs)", wrong.isEmpty
    )
  }

  var targetTable: ReportTable {
    targets.compactMap { $0 }.table([
      .words("target", "target") { .text($0.target) },
      .words("found", "found") { .text($0.found) },
      .words("holds", "holds") { .flag($0.holds) },
    ])
  }
}
