internal import EPIR
internal import EPModel
public import EPPlan

/// What a person wants to know first about a plan.
public struct PlanSummary: Sendable {
  /// The plan.
  let plan: Plan

  /// Sums a verified plan up.
  public init(_ plan: Plan) { self.plan = plan }

  /// The layers, in words: `58 MoE + 3 dense, MTP depth 1`.
  public var layers: String {
    guard let pool = plan.pools.first else { return "none" }
    let summary = PoolSummary(pool: pool)
    let (all, experts) = (summary.layerCount, summary.expertLayerCount)
    var text = "\(all) dense"
    if experts > 0 { text = "\(experts) MoE" + (all > experts ? " + \(all - experts) dense" : "") }
    if !pool.drafts.isEmpty { text += ", MTP depth \(pool.drafts.count)" }
    return text
  }

  /// The weights, in words: `671 B, 37.6 B of them activated for a token, MTP adds 11.5 B`.
  public var parameters: String {
    let model = plan.model
    var text = Units.count(model.parameters)
    if model.activatedParameters != model.parameters {
      text += ", \(Units.count(model.activatedParameters)) of them activated for a token"
    }
    if model.draftParameters > 0 { text += ", MTP adds \(Units.count(model.draftParameters))" }
    return text
  }

  /// The number formats, in words: `fp8 matrices and experts, bf16 the rest; bf16 activations`.
  public var precision: String {
    let formats = plan.model.precision
    var text = formats.other.rawValue + " weights"
    if formats.linear != formats.other || formats.experts != formats.other {
      text =
        formats.linear == formats.experts
        ? "\(formats.linear.rawValue) matrices and experts"
        : "\(formats.linear.rawValue) matrices, \(formats.experts.rawValue) experts"
      if formats.other != formats.linear { text += ", \(formats.other.rawValue) the rest" }
    }
    var activations: [String] = []
    for pool in plan.pools where !activations.contains(pool.activations.rawValue) {
      activations.append(pool.activations.rawValue)
    }
    return text + "; " + activations.joined(separator: " and ") + " activations and caches"
  }
}
