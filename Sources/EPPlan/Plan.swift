public import EPModel

/// An execution plan: what every rank of a cluster runs for a model, as templates and tables.
///
/// Nothing in it is written out per rank; `instantiate(rank:of:)` does that. docs/plan.md describes
/// the JSON form.
public struct Plan: Hashable, Sendable {
  /// The version of the format: the same major is required, a later minor is read.
  public static let version = (major: 1, minor: 2)

  /// What the plan is for.
  public var model: ModelSummary
  /// Where it runs.
  public var cluster: ClusterSummary
  /// The ranks, by what they do: one unified pool, or one for prefill and one for decode.
  public var pools: [Pool]
  /// How sequences move from the prefill pool to the decode pool, if there are two.
  public var handover: Handover?
  /// What the compiler chose, and why, one sentence each.
  public var decisions: [String]
  /// Places in the model file that operations refer to.
  public var locations: [SourceLocation]

  /// Makes a plan.
  public init(model: ModelSummary, cluster: ClusterSummary) {
    self.model = model
    self.cluster = cluster
    pools = []
    decisions = []
    locations = []
  }
}

/// The model a plan was made for.
public struct ModelSummary: Hashable, Sendable {
  /// The name.
  public var name: String
  /// Tokens in the vocabulary.
  public var vocabulary: Int
  /// The hidden size.
  public var hidden: Int
  /// How weights are kept in memory.
  public var precision: Precision
  /// Weights without those of MTP depths.
  public var parameters: Int
  /// Weights a token uses.
  public var activatedParameters: Int
  /// Weights of MTP depths alone.
  public var draftParameters: Int
  /// A digest of the names, axes and storage of all weights, which the plan's functions must give
  /// again: see `WeightDigest`.
  public var weightDigest: String
  /// A digest of everything else that makes the model: operations, their order and attributes, and
  /// which layers call what: see `ProgramDigest`.
  public var programDigest: String
  /// Checkpoint tensors that may be there and are not read.
  public var ignoredTensors: [String]
}

extension ModelSummary {
  /// Sums a program up.
  public init(of program: ModelProgram) {
    let count = program.parameterCount
    self.init(
      name: program.name, vocabulary: program.vocabulary, hidden: program.hidden,
      precision: program.precision, parameters: count.total,
      activatedParameters: count.activated, draftParameters: count.drafts,
      weightDigest: WeightDigest.digest(of: program),
      programDigest: ProgramDigest.digest(of: program), ignoredTensors: program.ignoredTensors)
  }
}

/// The devices a plan runs on.
public struct ClusterSummary: Hashable, Sendable {
  /// The cluster's name: `h200:32`.
  public var name: String
  /// The device's name.
  public var device: String
  /// Nodes.
  public var nodes: Int
  /// Devices of a node.
  public var devicesPerNode: Int
  /// Memory of a device, in bytes.
  public var memoryBytes: Int
  /// The part of it that a plan may use; the rest is the runtime's.
  public var usableFraction: Double
  /// Devices that differ from it, ascending.
  public var unlike: [UnlikeDevices]

  /// Makes a description.
  public init(
    name: String, device: String, nodes: Int, devicesPerNode: Int, memoryBytes: Int,
    usableFraction: Double, unlike: [UnlikeDevices] = []
  ) {
    self.name = name
    self.device = device
    self.nodes = nodes
    self.devicesPerNode = devicesPerNode
    self.memoryBytes = memoryBytes
    self.usableFraction = usableFraction
    self.unlike = unlike
  }

  /// Devices of the cluster.
  public var devices: Int { nodes.saturatingProduct(devicesPerNode) }
  /// Bytes of a device that a plan may use.
  public var usableBytes: Int { Int(saturating: Double(memoryBytes) * usableFraction) }
}

/// How sequences move from one pool to another.
public struct Handover: Hashable, Sendable {
  /// What one cache of a layer hands over.
  public struct Transfer: Hashable, Sendable {
    /// The function that keeps the cache, in both pools.
    public var function: Int
    /// The cache, in both pools.
    public var cache: Int
    /// Layers that call the function.
    public var layers: Int
    /// Bytes for each token of the context, over all ranks of a data group, for each layer.
    public var bytesPerToken: Int
    /// Bytes for each sequence, over all ranks of a data group, for each layer.
    public var bytesPerSequence: Int
    /// Over how many ranks the sending pool splits an entry; 1 when each holds it whole.
    public var sendParts: Int
    /// Over how many ranks the receiving pool splits it.
    public var receiveParts: Int

    /// Makes a transfer.
    public init(
      function: Int, cache: Int, layers: Int, bytesPerToken: Int, bytesPerSequence: Int,
      sendParts: Int, receiveParts: Int
    ) {
      self.function = function
      self.cache = cache
      self.layers = layers
      self.bytesPerToken = bytesPerToken
      self.bytesPerSequence = bytesPerSequence
      self.sendParts = sendParts
      self.receiveParts = receiveParts
    }
  }

  /// The pool that sends, as an index into the plan's pools.
  public var from: Int
  /// The pool that receives.
  public var to: Int
  /// What each cache hands over.
  public var transfers: [Transfer]

  /// Makes a hand-over.
  public init(from: Int, to: Int, transfers: [Transfer]) {
    self.from = from
    self.to = to
    self.transfers = transfers
  }

  /// Bytes handed over for a sequence of `context` tokens.
  public func bytes(context: Int) -> Int {
    transfers.reduce(0) {
      let bytes = $1.bytesPerToken.saturatingProduct(context).saturatingSum($1.bytesPerSequence)
      return $0.saturatingSum(bytes.saturatingProduct($1.layers))
    }
  }
}
