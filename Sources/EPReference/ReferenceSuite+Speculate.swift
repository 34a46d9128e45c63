internal import EPBackendCPU
internal import EPCheckpoint
public import EPIR
internal import EPModel
internal import EPPlan
internal import EPRuntime

extension ReferenceSuite {
  /// How speculative decoding of a case compares.
  public struct Speculation: Sendable {
    /// Tokens drafted; 0 for a model without MTP depths.
    public var drafted = 0
    /// Of those, how many were accepted.
    public var accepted = 0
    /// Whether the tokens made are the reference's.
    public var tokensEqual = true
    /// Whether the first drafts after each prompt are the reference's.
    public var draftsEqual = true
  }

  /// Runs a case with so many drafts a step.
  public static func speculate(
    _ reference: ReferenceCase, mesh: Mesh, count: Int
  ) throws -> Speculation {
    var row = Speculation()
    let known = try Checkpoint.open("\(reference.folder)/reference.safetensors")
    guard known.tensors["p0.mtp.logits"] != nil else { return row }
    let plan = try ReferenceCase.plan(of: try reference.program(), mesh: mesh)
    if plan.pools[0].drafts.isEmpty { return row }
    let weights = try WeightStore(.checkpoint(try Checkpoint.open(reference.folder)), for: plan)
    let session = try PlanSession(plan, weights: weights, device: CPUDevice())
    let request = GenerationRequest(
      prompts: try prompts(of: known), count: known.tensors["p0.decode_tokens"]?.shape.first ?? 0,
      speculate: count, kept: [.drafts])
    let result = try session.generate(request)
    for (index, prompt) in result.prompts.enumerated() {
      let tokens = try known.integers("p\(index).decode_tokens").map { Int32(clamping: $0) }
      if tokens != prompt.tokens { row.tokensEqual = false }
      let chain = try known.integers("p\(index).mtp.chain_postnorm_tokens")
        .map { Int32(clamping: $0) }
      if prompt.drafted.first?.prefix(chain.count) != chain.prefix(count) {
        row.draftsEqual = false
      }
    }
    row.drafted = result.statistics.drafted
    row.accepted = result.statistics.accepted
    return row
  }
}
