public import EPIR
public import EPModel

/// Ranks that run the same programs.
public struct Pool: Hashable, Sendable {
  /// What a pool does.
  public enum Role: String, Hashable, Sendable, CaseIterable {
    /// Reads prompts.
    case prefill
    /// Makes tokens.
    case decode
    /// Both.
    case unified
  }

  /// The most a step holds.
  public struct Load: Hashable, Sendable {
    /// Sequences of a data group.
    public var sequences: Int
    /// Tokens of a data group in one step.
    public var tokens: Int
    /// Tokens of a data group and step whose logits are made.
    public var samples: Int
    /// Tokens of a sequence that caches hold, on average.
    public var context: Int

    /// The most that a plan can say of each.
    public static let most = Load(sequences: 1 << 24, tokens: 1 << 26, context: 1 << 32)

    /// Why the load cannot be, or nil.
    public var problem: String? {
      for (name, size, most) in [
        ("sequences", sequences, Load.most.sequences), ("tokens", tokens, Load.most.tokens),
        ("samples", samples, Load.most.samples),
        ("tokens of context", context, Load.most.context),
      ] where size < 1 || size > most {
        return "\(size) \(name) of a data group; it is at least 1 and at most \(most)"
      }
      return nil
    }

    /// Makes a load; logits are made of all tokens unless `samples` says otherwise.
    public init(sequences: Int, tokens: Int, samples: Int? = nil, context: Int) {
      self.sequences = sequences
      self.tokens = tokens
      self.samples = samples ?? tokens
      self.context = context
    }
  }

  /// The most ranks of a pool.
  public static let mostRanks: Int = 1 << 20

  /// What it does.
  public var role: Role
  /// The cluster's rank that is rank 0 of the pool.
  public var firstRank: Int
  /// How its ranks are arranged.
  public var mesh: Mesh
  /// The most a step holds.
  public var load: Load
  /// Parts that a step is cut into, whose layers overlap; 1 where it is not. Each has the buffers of
  /// its functions for itself.
  public var microBatches: Int
  /// How lots of a step pass the stages, where there are several; without it a step is one lot.
  public var pipeline: PipelineSchedule?
  /// The number format of activations and caches.
  public var activations: Precision.Format
  /// The functions, at the same indices in all pools.
  public var functions: [ShardedFunction]
  /// The calls of each pipeline stage.
  public var stages: [[ModelProgram.Call]]
  /// The MTP depths, run by the last stage.
  public var drafts: [ModelProgram.Call]
  /// Where the routed experts of each layer are.
  public var placements: [ExpertPlacement]
  /// What the fullest rank of each stage holds.
  public var memory: [MemoryTable]

  /// Makes a pool without programs.
  public init(
    role: Role, firstRank: Int, mesh: Mesh, load: Load, activations: Precision.Format
  ) {
    self.role = role
    self.firstRank = firstRank
    self.mesh = mesh
    self.load = load
    self.activations = activations
    microBatches = 1
    functions = []
    stages = []
    drafts = []
    placements = []
    memory = []
  }

  /// Bytes of an element of that kind.
  public func bytes(of element: TensorType.Element) -> Int {
    switch element {
    case .real: return Int(activations.bitsPerElement / 8)
    case .index: return 4
    }
  }

  /// Lots that a step is cut into, each of all micro-batches.
  public var lots: Int { pipeline?.lots ?? 1 }

  /// Micro-batches of all lots of a step.
  public var parts: Int { microBatches.saturatingProduct(lots) }

  /// The most tokens of a micro-batch.
  public var batchTokens: Int { (load.tokens + parts - 1) / max(parts, 1) }

  /// The most rows a value of the type can have in one micro-batch.
  public func mostRows(of type: TensorType, in function: ShardedFunction) -> Int {
    guard let rows = type.rows else { return 1 }
    if rows == .tokens { return batchTokens }
    if rows == .sampled { return min(load.samples, batchTokens) }
    if rows == .ownTokens { return (batchTokens + mesh.tp - 1) / mesh.tp }
    return function.routedCapacity
  }

  /// The placement of the experts that a layer's call of a function uses, if it has any.
  public func placement(function: Int, layer: Int) -> ExpertPlacement? {
    placements.first { $0.function == function && $0.layers.contains(layer) }
  }

  /// All calls of a stage: those of its layers and, in the last stage, the MTP depths.
  public func calls(ofStage stage: Int) -> [ModelProgram.Call] {
    stages[stage] + (stage == stages.count - 1 ? drafts : [])
  }
}

/// Where the routed experts of some layers are: a row of slots for each expert rank.
public struct ExpertPlacement: Hashable, Sendable {
  /// How the replicas of an expert share its tokens.
  public enum Sharing: String, Hashable, Sendable, CaseIterable {
    /// In turn, by the token's position: even shares, and nobody needs to know of other ranks.
    case turn
    /// Every batch is split so that its fullest rank gets as few rows as possible; ranks first
    /// tell each other how many rows they have for each expert.
    case batch
  }

  /// The function whose experts these are.
  public var function: Int
  /// The layers placed so, ascending.
  public var layers: [Int]
  /// Logical experts of a layer.
  public var experts: Int
  /// Slots of an expert rank.
  public var slotsPerRank: Int
  /// The logical expert in each slot, ranks one after the other. An expert in several slots has
  /// replicas, which share its tokens. Where devices are unlike, the last slots of a rank may be
  /// `empty`.
  public var slots: [Int]
  /// How they share them.
  public var sharing: Sharing

  /// Makes a placement.
  public init(
    function: Int, layers: [Int], experts: Int, slotsPerRank: Int, slots: [Int],
    sharing: Sharing = .turn
  ) {
    self.function = function
    self.layers = layers
    self.experts = experts
    self.slotsPerRank = slotsPerRank
    self.slots = slots
    self.sharing = sharing
  }

  /// What stands in a slot that holds no expert.
  public static let empty = -1

  /// The logical experts that an expert rank holds, one a slot.
  public func experts(ofRank rank: Int) -> ArraySlice<Int> {
    slots[(rank * slotsPerRank)..<((rank + 1) * slotsPerRank)].prefix { $0 >= 0 }
  }

  /// Whether some rank has fewer slots than others.
  public var hasEmptySlots: Bool { slots.contains(ExpertPlacement.empty) }

  /// The slots of each logical expert, ascending.
  public var replicas: [[Int]] {
    var replicas = Array(repeating: [Int](), count: experts)
    for (slot, expert) in slots.enumerated() where expert >= 0 && expert < experts {
      replicas[expert].append(slot)
    }
    return replicas
  }
}

/// What a rank holds in memory, in bytes.
public struct MemoryTable: Hashable, Sendable {
  /// Weights outside routed experts.
  public var denseWeights: Int
  /// Weights of routed experts, by slots.
  public var expertWeights: Int
  /// Keys, values, latents and states of all sequences.
  public var cache: Int
  /// The arena that the values of a step live in.
  public var activations: Int
  /// Send and receive buffers of All-to-All.
  public var communication: Int

  /// Makes a table.
  public init(
    denseWeights: Int = 0, expertWeights: Int = 0, cache: Int = 0, activations: Int = 0,
    communication: Int = 0
  ) {
    self.denseWeights = denseWeights
    self.expertWeights = expertWeights
    self.cache = cache
    self.activations = activations
    self.communication = communication
  }

  /// The sum.
  public var total: Int { parts.reduce(0) { $0.saturatingSum($1.bytes) } }

  /// Name and bytes of every part, in the order tables show them.
  public var parts: [(name: String, bytes: Int)] {
    [
      ("dense weights", denseWeights), ("expert weights", expertWeights), ("KV cache", cache),
      ("activations", activations), ("communication", communication),
    ]
  }
}
