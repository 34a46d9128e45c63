public import EPCost
public import EPIR
public import EPModel
public import EPPlacement
public import EPPlan

/// What to compile a model for. What is nil, the compiler chooses, and says so in the plan.
public struct CompileRequest: Sendable {
  /// What one pool is to be.
  public struct PoolRequest: Sendable {
    /// What it does.
    public var role: Pool.Role
    /// Pipeline stages.
    public var pp: Int?
    /// Data groups.
    public var dp: Int?
    /// Tensor ranks of a data group.
    public var tp: Int?
    /// Expert ranks.
    public var ep: Int?
    /// Sequences for each device.
    public var batch: Int?
    /// Tokens of a step for each device, in prefill.
    public var tokensPerDevice: Int?
    /// Tokens of a step and device whose logits are made.
    public var samples: Int?
    /// Slots beyond one for each expert.
    public var redundantExperts: Int?
    /// Sequences of a data group, instead of `batch`.
    public var groupSequences: Int?
    /// Tokens of a step and data group, instead of `tokensPerDevice`.
    public var groupTokens: Int?
    /// Low-latency All-to-All or normal; by the pool's role unless set.
    public var usesLowLatency: Bool?
    /// Whether every expert rank gathers all tokens and sums are scattered, instead of an All-to-All.
    public var gathersTokens = false
    /// How exchanges and compute may overlap; as in the whole plan unless set.
    public var overlap: OverlapChoice?
    /// Mean over maximum of expert ranks' tokens that steps are priced with, where no loads are given.
    public var balancedness = 1.0

    /// Makes a request that leaves everything to the compiler.
    public init(_ role: Pool.Role) { self.role = role }

    /// The load of a pool with that mesh: `1 + drafts` tokens for each sequence that decodes, and
    /// prompts in the rest.
    public func load(
      _ mesh: Mesh, drafts: Int, context: Int, vocabulary: Int
    ) -> Pool.Load {
      let group = mesh.tp * mesh.pp
      let sequences = groupSequences ?? batch.map { $0 * group }
      let steps = 1 + drafts
      if role == .decode {
        let sequences = sequences ?? usualBatch * group
        return Pool.Load(sequences: sequences, tokens: sequences * steps, context: context)
      }
      let tokens =
        groupTokens ?? (tokensPerDevice ?? usualTokens) * group
      let reading =
        sequences ?? (role == .prefill ? max(tokens / context, 1) : usualBatch * group)
      var load = Pool.Load(
        sequences: reading, tokens: max(tokens, reading * steps), context: context)
      // All logits where they are little, else those of the tokens that are sampled from.
      let bytes = Double(load.tokens) * Double(vocabulary) * 4
      load.samples =
        bytes <= Double(64 << 20) ? load.tokens : min(load.sequences * steps, load.tokens)
      return load
    }
  }

  /// The devices, or nil to take as many of the default kind as are needed.
  public var cluster: Cluster?
  /// The kind of device to take if there is no cluster.
  public var defaultHardware: Hardware
  /// One pool, or one for prefill and one for decode.
  public var pools: [PoolRequest]
  /// Tokens of a sequence that caches hold, on average.
  public var context: Int
  /// How many MTP depths to run; those the model has unless set.
  public var drafts: Int?
  /// The number format of activations and caches.
  public var activations: Precision.Format
  /// The number format of all weights, instead of the model's.
  public var precision: Precision?
  /// Routed rows a rank must have room for, as a multiple of an even share.
  public var capacityFactor: Double
  /// Tokens that each logical expert gets; alike where nil. Experts are placed for them.
  public var loads: LoadSource?
  /// Measurements that durations of kernels follow; peaks and stated efficiencies without.
  public var calibration: Calibration
  /// How replicas of an expert share its tokens.
  public var sharing: ExpertPlacement.Sharing
  /// How exchanges and compute may overlap.
  public var overlap: Overlap

  /// How exchanges and compute may overlap.
  public typealias Overlap = OverlapChoice

  /// Makes a request.
  public init(hardware: Hardware, pools: [PoolRequest] = [PoolRequest(.unified)]) {
    defaultHardware = hardware
    self.pools = pools
    context = 4096
    activations = .bf16
    capacityFactor = 2
    calibration = .none
    sharing = .turn
    overlap = .none
  }
}

/// The state that passes hand on.
public struct Compilation: Sendable {
  /// The model.
  public var program: ModelProgram
  /// What was asked for.
  public var request: CompileRequest
  /// The devices, once chosen.
  public var cluster: Cluster
  /// The pools, once chosen; their functions come with sharding.
  public var pools: [Pool]
  /// What was chosen, and why.
  public var decisions: [String]

  /// Starts a compilation.
  public init(_ program: ModelProgram, _ request: CompileRequest) {
    self.program = program
    self.request = request
    cluster = request.cluster ?? Cluster(request.defaultHardware, devices: 1)
    pools = []
    decisions = []
  }

  /// The textual form of the current level: the model's functions, then each pool's.
  public var text: String {
    if pools.allSatisfy(\.functions.isEmpty) {
      let calls = program.calls.map {
        "call \(program.functions[$0.function].name) \(ModelProgram.Call.text(of: $0.layers))"
      }
      return "model \(program.name)\n" + program.functions.map { $0.text() }.joined()
        + calls.joined(separator: "\n") + "\n"
    }
    return pools.map { pool in
      let placements = pool.placements.map {
        "place layers \(ModelProgram.Call.text(of: $0.layers)): \($0.slotsPerRank) slots a rank\n"
      }
      let stages = pool.stages.enumerated().map { stage, calls in
        "stage \(stage): "
          + calls.map { call in
            let layers = ModelProgram.Call.text(of: call.layers)
            return pool.functions[call.function].function.name
              + (layers.isEmpty ? "" : "[\(layers)]")
          }.joined(separator: ", ") + "\n"
      }
      return "pool \(pool.role.rawValue) \(pool.mesh)\n"
        + (placements + pool.functions.map(\.text) + stages).joined()
    }.joined(separator: "\n")
  }
}
