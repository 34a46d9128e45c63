internal import EPBackend
public import EPBackendCPU
internal import EPCheckpoint
package import EPCost
public import EPIR
internal import EPModel
internal import EPPlan
internal import EPRuntime

/// Runs checkpoints whose results are known, on plans for several meshes.
public enum ReferenceSuite {
  /// How one case on one mesh compares.
  public struct Row: Sendable {
    /// The case.
    public var name: String
    /// The family.
    public var family: String
    /// The mesh.
    public var mesh: Mesh
    /// Logits of prompts and of tokens made.
    public var logits = Agreement()
    /// Logits of the first MTP depth, if the reference has them.
    public var drafts: Agreement?
    /// The share of tokens and layers that go to the reference's experts, if the reference says.
    public var routing: Double?
    /// The largest difference of an expert's weight.
    public var routingError = 0.0
    /// Whether the tokens made are the reference's.
    public var tokensEqual = true
    /// Logits of the tokens of prompts before the first, if any, that goes to other experts than the
    /// reference's, or to the same with a weight that is off by a tenth of the largest. Rounding may turn a
    /// router's choice, and what comes after that token is another result.
    public var settled = Agreement()
    /// What is allowed: the largest difference of two logits, or, where weights are not kept as they are,
    /// `settled.relativeError`.
    public var bound = 1e-4
    /// How matrices are kept.
    public var weights = WeightFormat.fp32
    /// Why the case could not be run, if so.
    public var failure: String?
    /// Why the model has no plan for this mesh, if so: its sizes do not come out even.
    public var skipped: String?
    /// Seconds it took.
    public var seconds = 0.0

    /// Whether everything is within bounds.
    public var passes: Bool {
      if skipped != nil { return true }
      if weights != .fp32 {
        return failure == nil && logits.divergence.isFinite && settled.relativeError <= bound
      }
      return failure == nil && logits.maxAbsoluteError <= bound && tokensEqual
        && logits.divergence <= 1e-5 * bound && (routing ?? 1) == 1
        && (drafts?.maxAbsoluteError ?? 0) <= bound
    }
  }

  /// The meshes that cases run on: EP 1, 2 and 4, and a mix of data and tensor parallelism.
  public static let meshes = [
    Mesh(), Mesh(dp: 2, ep: 2), Mesh(dp: 4, ep: 4), Mesh(dp: 2, tp: 2, ep: 4),
  ]

  /// Runs all cases below a folder, or those whose name has a text in it.
  ///
  /// - Parameters:
  ///   - weights: how matrices are kept.
  ///   - observe: sees each row as soon as it is there.
  public static func run(
    folder: String, meshes: [Mesh] = ReferenceSuite.meshes, filter: String = "",
    weights: WeightFormat = .fp32, observe: (Row) -> Void = { _ in }
  ) -> [Row] {
    var rows: [Row] = []
    for reference in ReferenceCase.all(below: folder)
    where filter.isEmpty || reference.name.contains(filter) {
      for mesh in meshes {
        let row = run(reference, mesh: mesh, weights: weights)
        observe(row)
        rows.append(row)
      }
    }
    return rows
  }

  /// Runs one case on one mesh. Where weights are not kept as they are, other tokens may come next, so
  /// prompts alone are compared.
  public static func run(
    _ reference: ReferenceCase, mesh: Mesh, weights: WeightFormat = .fp32
  ) -> Row {
    var row = Row(name: reference.name, family: reference.family, mesh: mesh)
    row.weights = weights
    row.bound = bound(of: weights, family: reference.family)
    let clock = ContinuousClock()
    let start = clock.now
    do {
      let known = try Checkpoint.open("\(reference.folder)/reference.safetensors")
      let prompts = try prompts(of: known)
      let program = try reference.program()
      let plan: Plan
      do { plan = try ReferenceCase.plan(of: program, mesh: mesh) } catch {
        row.skipped = error.description
        return row
      }
      let store = try WeightStore(
        .checkpoint(try Checkpoint.open(reference.folder)), for: plan)
      let session = try PlanSession(plan, weights: store, device: CPUDevice(weights: weights))
      var request = GenerationRequest(
        prompts: prompts, count: known.tensors["p0.decode_tokens"]?.shape.first ?? 0,
        kept: [.logits, .routing])
      let hasDrafts = known.tensors["p0.mtp.logits"] != nil && !plan.pools[0].drafts.isEmpty
      if hasDrafts { request.kept.insert(.drafts) }
      let result = try session.generate(request)
      for (index, prompt) in result.prompts.enumerated() {
        try compare(prompt, with: known, "p\(index)", width: result.vocabulary, row: &row)
      }
    } catch { row.failure = "\(error)" }
    row.seconds =
      Double((clock.now - start).components.attoseconds) * 1e-18
      + Double((clock.now - start).components.seconds)
    return row
  }

  static func prompts(of known: Checkpoint) throws(CheckpointError) -> [[Int32]] {
    var prompts: [[Int32]] = []
    while known.tensors["p\(prompts.count).input_ids"] != nil {
      prompts.append(try known.integers("p\(prompts.count).input_ids").map { Int32(clamping: $0) })
    }
    return prompts
  }

  private static func compare(
    _ prompt: PromptResult, with known: Checkpoint, _ name: String, width: Int, row: inout Row
  ) throws(CheckpointError) {
    let logits = try known.floats("\(name).prefill_logits")
    row.logits.compare(prompt.prefillLogits, with: logits, width: width)
    let settled = try compare(prompt.routes, with: known, "\(name).", row: &row) ?? .max
    if width > 0, prompt.prefillLogits.count == logits.count {
      let count = min(settled, logits.count / width) * width
      row.settled.compare(
        Array(prompt.prefillLogits[..<count]), with: Array(logits[..<count]), width: width)
    }
    let tokens = try known.integers("\(name).decode_tokens").map { Int32(clamping: $0) }
    if tokens != prompt.tokens { row.tokensEqual = false }
    // Rounded weights may make another token, after which nothing is to be compared.
    if row.weights == .fp32 {
      row.logits.compare(
        prompt.decodeLogits, with: try known.floats("\(name).decode_logits"), width: width)
      _ = try compare(prompt.decodeRoutes, with: known, "\(name).decode.", row: &row)
      if known.tensors["\(name).mtp.logits"] != nil, !prompt.draftLogits.isEmpty {
        var drafts = row.drafts ?? Agreement()
        drafts.compare(
          prompt.draftLogits, with: try known.floats("\(name).mtp.logits"), width: width)
        row.drafts = drafts
      }
    }
  }

  /// Compares the experts that tokens go to, and their weights.
  ///
  /// - Returns: The first token, if any, that is routed otherwise than the reference's in any layer.
  private static func compare(
    _ routes: [Int: PromptResult.Routes], with known: Checkpoint, _ prefix: String, row: inout Row
  ) throws(CheckpointError) -> Int? {
    var (same, all) = (0, 0)
    var first: Int?
    for (layer, table) in routes {
      let key = "\(prefix)layer\(layer)"
      guard known.tensors["\(key).topk_idx"] != nil, table.topK > 0 else { continue }
      let experts = try known.integers("\(key).topk_idx").map { Int32(clamping: $0) }
      let weights = try known.floats("\(key).topk_w")
      guard experts.count == table.experts.count else {
        all += 1
        first = 0
        continue
      }
      for token in 0..<(experts.count / table.topK) {
        let range = token * table.topK..<(token + 1) * table.topK
        all += 1
        var error = 0.0
        for index in range {
          error = max(error, abs(Double(weights[index]) - Double(table.weights[index])))
        }
        row.routingError = max(row.routingError, error)
        let equal = experts[range] == table.experts[range]
        if equal { same += 1 }
        // Phi-3.5's router leaves scores out of a weight's softmax by a threshold, which may turn alone.
        if !equal || error > 0.1 * Double(weights[range].max() ?? 0) {
          first = min(first ?? token, token)
        }
      }
    }
    if all > 0 { row.routing = min(row.routing ?? 1, Double(same) / Double(all)) }
    return first
  }

  /// The rows as a table for people, and as plain data but for the seconds they took.
  package static func table(_ rows: [Row]) -> ReportTable {
    func error(_ value: Double) -> ReportTable.Cell { .init(scientific(value), .finite(value)) }
    func run(_ cell: @escaping (Row) -> ReportTable.Cell?) -> (Row) -> ReportTable.Cell? {
      { $0.skipped == nil ? cell($0) : nil }
    }
    return rows.table([
      .words("case", "case") { .text($0.name) }, .words("mesh", "mesh") { .text("\($0.mesh)") },
      .words("max abs", "largest_error", run { error($0.logits.maxAbsoluteError) }),
      .words("KL", "divergence", run { error($0.logits.divergence) }),
      .words("top-1", "top_one", run { .init(percent($0.logits.topOne), .real($0.logits.topOne)) }),
      .words(
        "routing", "routing",
        run { .init($0.routing.map(percent) ?? "-", $0.routing.map(Document.real)) }),
      .words(
        "tokens", "tokens_equal",
        run { .init($0.tokensEqual ? "equal" : "differ", .flag($0.tokensEqual)) }),
      .words(
        "mtp", "drafts_largest_error",
        run { $0.drafts.map { error($0.maxAbsoluteError) } ?? .init("-", nil) }),
      .words("settled", "settled_tokens", run { .count($0.settled.rows) }),
      .words("rms", "settled_error", run { error($0.settled.relativeError) }),
      .words("bound", "bound", run { error($0.bound) }),
      .words("", "outcome") { row in
        .init(
          row.skipped.map { "skipped: \($0)" } ?? row.failure ?? (row.passes ? "ok" : "FAILS"),
          .text(row.skipped != nil ? "skipped" : row.passes ? "ok" : "fails"))
      },
      .words("", "reason") { row in (row.skipped ?? row.failure).map { .init("", .text($0)) } },
    ])
  }

  private static func percent(_ share: Double) -> String {
    let tenths = Int((share * 1000).rounded(.down))
    return "\(tenths / 10).\(tenths % 10)%"
  }

  private static func scientific(_ value: Double) -> String {
    if value == 0 { return "0" }
    if !value.isFinite { return "\(value)" }
    var (mantissa, exponent) = (abs(value), 0)
    while mantissa >= 9.95 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 0.995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    let tenths = Int((mantissa * 10).rounded())
    return "\(value < 0 ? "-" : "")\(tenths / 10).\(tenths % 10)e\(exponent)"
  }
}

extension Checkpoint {
  /// All elements of a tensor of reals.
  func floats(_ name: String) throws(CheckpointError) -> [Float] {
    guard let tensor = tensors[name] else { throw .missingTensor(tensor: name) }
    let shape = WeightShape(tensor.shape)
    return try resolve(StoredTensor(name), as: shape).values(shape.all)
  }
}
