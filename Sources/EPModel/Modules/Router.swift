/// Something that chooses experts for each token. A new kind of gate implements this.
public protocol ExpertRouter {
  /// The experts and weights for the rows of `x`.
  ///
  /// - Parameters:
  ///   - x: what the feed-forward got.
  ///   - experts: routed experts that have weights.
  ///   - identity: further experts, numbered after those, that return their input.
  func callAsFunction(_ x: Tensor, experts: Int, identity: Int) -> Routes
}

/// How a router turns logits into scores.
public enum Scoring: Hashable, Sendable {
  /// Softmax over all experts.
  case softmax
  /// A sigmoid for each expert.
  case sigmoid
  /// The square root of softplus for each expert.
  case sqrtSoftplus
  /// Softmax over the selected experts' logits only.
  case softmaxOverSelected
  /// Softmax of logits plus Gumbel noise, over a temperature; noise is drawn from `seed`, the
  /// token's position and the expert, so that a run can be repeated. Without a seed, no noise.
  case gumbelSoftmax(temperature: Double, seed: Int? = nil)
  /// The logits as they are, for a router that computes its scores itself.
  case linear
  /// PhiMoE's SparseMixer: two experts, one after the other, each by a softmax over those near it.
  case sparseMixer(jitter: Double)

  var attributes: [(String, Attribute)] {
    switch self {
    case .softmax: return [("scoring", "softmax")]
    case .sigmoid: return [("scoring", "sigmoid")]
    case .sqrtSoftplus: return [("scoring", "sqrt_softplus")]
    case .softmaxOverSelected: return [("scoring", "softmax_selected")]
    case .gumbelSoftmax(let temperature, let seed):
      return [("scoring", "gumbel_softmax"), ("temperature", .real(temperature))]
        + (seed.map { [("seed", .int($0))] } ?? [])
    case .linear: return [("scoring", "none")]
    case .sparseMixer(let jitter): return [("scoring", "sparse_mixer"), ("jitter", .real(jitter))]
    }
  }
}

/// Selection limited to the best groups of experts (DeepSeek-V2, section 2.2.2).
public struct GroupLimit: Hashable, Sendable {
  /// What a group is ranked by.
  public enum Score: String, Hashable, Sendable {
    /// Its best expert (DeepSeek-V2).
    case max
    /// The sum of its two best (DeepSeek-V3).
    case topTwoSum = "top2_sum"
  }

  /// How many equal groups the experts fall into.
  public var groups: Int
  /// How many groups a token may go to.
  public var kept: Int
  /// What groups are ranked by.
  public var score: Score

  /// Makes a limit.
  public init(_ groups: Int, kept: Int, score: Score) {
    self.groups = groups
    self.kept = kept
    self.score = score
  }
}

/// A router that scores experts by one matrix and selects the best.
///
/// Weights: `gate.weight`, and as asked for `gate.bias` and `gate.e_score_correction_bias`.
public struct Router: ExpertRouter {
  /// Which experts a token goes to.
  public enum Selection: Hashable, Sendable {
    /// The `k` with the highest scores.
    case topK(Int)
    /// The fewest whose scores sum to `p`, at most `atMost`.
    case topP(Double, atMost: Int)
    /// `k` experts by the token's id alone; scores only weigh them. `table` says whether the
    /// checkpoint lists them by token, as `gate.tid2eid`.
    case hash(Int, table: Bool = false)
  }

  /// Experts that tokens of one modality may use.
  public struct ModalityRange: Hashable, Sendable {
    /// The experts.
    public var experts: Range<Int>
    /// Makes a range.
    public init(_ experts: Range<Int>) { self.experts = experts }
  }

  var scoring: Scoring
  var selection: Selection
  var bias: Bool
  var correctionBias: Bool
  var normalized: Bool
  var normalizeEpsilon: Double
  var normalizeMinimum: Double
  var scale: Double
  var limit: GroupLimit?
  var capacityFactor: Double?
  var modalities: [ModalityRange]
  var balanceLoss: Double?
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a router.
  ///
  /// - Parameters:
  ///   - scoring: how logits become scores.
  ///   - selection: which experts a token goes to.
  ///   - bias: whether logits have a bias.
  ///   - correctionBias: whether a bias is added for the selection only (DeepSeek-V3).
  ///   - normalized: whether the weights of a token are divided by their sum.
  ///   - normalizeEpsilon: added to that sum.
  ///   - normalizeMinimum: the least that sum counts as.
  ///   - scale: what weights are multiplied with.
  ///   - limit: the limit to the best groups.
  ///   - capacityFactor: an expert takes at most `factor * tokens * k / experts` tokens of a
  ///     sequence in a step, rounded up, the earliest ones (GShard); further ones skip it.
  ///   - modalities: the experts that tokens of modality 0, 1, ... may use; none for all.
  ///   - balanceLoss: the coefficient of the load-balancing loss, for training.
  public init(
    _ scoring: Scoring, _ selection: Selection, bias: Bool = false, correctionBias: Bool = false,
    normalized: Bool = false, normalizeEpsilon: Double = 0, normalizeMinimum: Double = 0,
    scale: Double = 1, limit: GroupLimit? = nil, capacityFactor: Double? = nil,
    modalities: [ModalityRange] = [], balanceLoss: Double? = nil,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.scoring = scoring
    self.selection = selection
    self.bias = bias
    self.correctionBias = correctionBias
    self.normalized = normalized
    self.normalizeEpsilon = normalizeEpsilon
    self.normalizeMinimum = normalizeMinimum
    self.scale = scale
    self.limit = limit
    self.capacityFactor = capacityFactor
    self.modalities = modalities
    self.balanceLoss = balanceLoss
    location = SourceLocation(file, line, column)
  }

  /// Makes a router that selects the `topK` best experts.
  public init(
    _ scoring: Scoring, topK: Int, bias: Bool = false, correctionBias: Bool = false,
    normalized: Bool = false, normalizeEpsilon: Double = 0, normalizeMinimum: Double = 0,
    scale: Double = 1, limit: GroupLimit? = nil, capacityFactor: Double? = nil,
    modalities: [ModalityRange] = [], balanceLoss: Double? = nil,
    file: String = #filePath, line: Int = #line, column: Int = #column
  ) {
    self.init(
      scoring, .topK(topK), bias: bias, correctionBias: correctionBias, normalized: normalized,
      normalizeEpsilon: normalizeEpsilon, normalizeMinimum: normalizeMinimum, scale: scale,
      limit: limit, capacityFactor: capacityFactor, modalities: modalities,
      balanceLoss: balanceLoss, file: file, line: line, column: column)
  }

  /// The experts and weights for the rows of `x`.
  public func callAsFunction(_ x: Tensor, experts: Int, identity: Int) -> Routes {
    route(x, named: "gate", experts: experts, identity: identity)
  }

  /// The routes for the rows of `x`, with the weights under `name`; `outer` is the choice of groups
  /// of a two-level router.
  func route(
    _ x: Tensor, named name: String, experts: Int, identity: Int, outer: Routes? = nil,
    groups: Int? = nil
  ) -> Routes {
    x.trace.located(location) {
      let all = Axis("experts", experts + identity)
      let logits = x.linear(name, to: [all], bias: bias, role: .router)
      let correction =
        correctionBias
        ? x.trace.weight(name + ".e_score_correction_bias", [all], role: .router) : nil
      return routes(
        logits: logits, correction: correction, experts: experts, identity: identity,
        tableName: name + ".tid2eid", outer: outer, groups: groups)
    }
  }

  /// The routes that follow from logits `[tokens, experts + identity]` made elsewhere.
  ///
  /// A router of its own kind makes logits as it likes and leaves scoring and selection to this;
  /// `correction` is added to the scores for the selection only.
  public func routes(
    logits: Tensor, correction: Tensor? = nil, experts: Int, identity: Int = 0
  ) -> Routes {
    routes(
      logits: logits, correction: correction, experts: experts, identity: identity,
      tableName: "gate.tid2eid", outer: nil, groups: nil)
  }

  private func routes(
    logits: Tensor, correction: Tensor?, experts: Int, identity: Int, tableName: String,
    outer: Routes?, groups: Int?
  ) -> Routes {
    let trace = logits.trace
    var attributes = Attributes([
      "experts": .int(experts), "identity_experts": identity == 0 ? nil : .int(identity),
      "normalize": normalized ? true : nil,
      "normalize_epsilon": normalizeEpsilon == 0 ? nil : .real(normalizeEpsilon),
      "normalize_minimum": normalizeMinimum == 0 ? nil : .real(normalizeMinimum),
      "scale": scale == 1 ? nil : .real(scale),
      "groups": (groups ?? limit?.groups).map(Attribute.int),
      "groups_kept": limit.map { .int($0.kept) },
      "group_score": limit.map { .text($0.score.rawValue) },
      "capacity_factor": capacityFactor.map(Attribute.real),
      "balance_loss": balanceLoss.map(Attribute.real),
      "partitions": modalities.isEmpty
        ? nil
        : .list(modalities.flatMap { [.int($0.experts.lowerBound), .int($0.experts.count)] }),
    ])
    for (name, value) in scoring.attributes { attributes[name] = value }
    var table: Tensor?
    var ids: Tensor?
    switch selection {
    case .topK(let count):
      attributes["selection"] = "top_k"
      attributes["top_k"] = .int(count)
    case .topP(let share, let most):
      attributes["selection"] = "top_p"
      attributes["top_p"] = .real(share)
      attributes["top_k"] = .int(most)
    case .hash(let count, let stored):
      attributes["selection"] = "hash"
      attributes["top_k"] = .int(count)
      ids = trace.ids
      if stored {
        table = trace.weight(
          tableName, [.vocabulary(trace.environment.vocabulary), Axis("top_k", count)],
          role: .router)
      }
    }
    let routes = trace.append(
      .route,
      [
        ("logits", logits), ("bias", correction), ("ids", ids), ("table", table),
        ("modality", modalities.isEmpty ? nil : trace.modality),
        ("outer_indices", outer?.indices), ("outer_weights", outer?.weights),
      ], attributes)
    return Routes(indices: routes[0], weights: routes[1])
  }
}

/// A router in two levels: the outer one chooses groups of experts, the inner one experts within
/// each chosen group. An expert's weight is the product of both.
///
/// Weights: those of the outer router below `group_gate`, those of the inner one below `gate`.
public struct HierarchicalRouter: ExpertRouter {
  var outer: Router
  var groups: Int
  var inner: Router

  /// Makes a router; experts fall into `groups` equal groups in order.
  public init(groups: Int, outer: Router, inner: Router) {
    self.groups = groups
    self.outer = outer
    self.inner = inner
  }

  /// The experts and weights for the rows of `x`.
  public func callAsFunction(_ x: Tensor, experts: Int, identity: Int) -> Routes {
    let chosen = outer.route(x, named: "group_gate", experts: groups, identity: 0)
    return inner.route(
      x, named: "gate", experts: experts, identity: identity, outer: chosen, groups: groups)
  }
}
