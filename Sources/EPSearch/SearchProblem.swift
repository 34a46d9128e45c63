public import EPCost
public import EPIR
public import EPModel

/// What is to be deployed, on what, and what it must deliver.
public struct SearchProblem: Sendable {
  /// What the best deployment has most or least of.
  public enum Objective: String, Hashable, Sendable, CaseIterable {
    /// Tokens a second over all devices of the cluster, idle ones counted.
    case throughput
    /// Tokens a second over the devices that are used: those that must be paid.
    case cost
    /// Milliseconds until the last token of a request.
    case latency
  }

  /// Whether prompts are read by devices of their own.
  public enum Disaggregation: String, Hashable, Sendable, CaseIterable {
    /// Whichever is better.
    case auto
    /// Prefill and decode pools.
    case always
    /// One pool; chunks of prompts ride on decode steps.
    case never
  }

  /// The model.
  public var program: ModelProgram
  /// The devices.
  public var cluster: Cluster
  /// What kernels take on them.
  public var cost: CostModel
  /// Tokens of a prompt.
  public var promptLength: Int
  /// Tokens made for a prompt.
  public var outputLength: Int
  /// The part of a prompt whose cache is found rather than computed.
  public var cacheHitRate: Double
  /// Most seconds until the first token, on average.
  public var timeToFirstToken: Double
  /// Most seconds between tokens of a request, on average.
  public var timePerToken: Double
  /// What is sought.
  public var objective: Objective
  /// Whether prompts are read by devices of their own.
  public var disaggregation: Disaggregation
  /// How tokens are spread over experts.
  public var skew: ExpertSkew
  /// Whether experts are placed for these loads; if not, they lie in order.
  var placesExperts = true
  /// Whether engines exchange tokens without All-to-All: every expert rank gathers all of them.
  public var gathersTokens = false
  /// The chance that a drafted token is right, given all before it.
  public var acceptance: Double
  /// What is searched.
  public var space: SearchSpace
  /// The number format of activations and caches.
  public var activations: Precision.Format
  /// The number format of caches in memory, where it is not that of activations; plans have none
  /// such.
  var cacheFormat: Precision.Format?
  /// Whether memory is kept for a whole answer as soon as a request is taken, so that none is ever
  /// put back; if not, for what sequences hold on average.
  public var reservesWholeAnswers: Bool
  /// Whether caches of sliding windows hold whole sequences all the same.
  var keepsWholeCaches = false
  /// The most a pool is busy, so that what arrives at random does not pile up.
  public var mostUtilization: Double
  /// Dollars of a device and hour, if known.
  public var dollarsPerHour: Double?

  /// Makes a problem without limits.
  public init(
    _ program: ModelProgram, cluster: Cluster, cost: CostModel, promptLength: Int,
    outputLength: Int
  ) {
    self.program = program
    self.cluster = cluster
    self.cost = cost
    self.promptLength = promptLength
    self.outputLength = outputLength
    cacheHitRate = 0
    timeToFirstToken = .infinity
    timePerToken = .infinity
    objective = .throughput
    disaggregation = .auto
    skew = .typical
    acceptance = 0.85
    space = SearchSpace()
    activations = .bf16
    mostUtilization = 0.95
    reservesWholeAnswers = false
    dollarsPerHour = cluster.hardware.dollarsPerHour
  }

  /// Tokens of a prompt that are computed.
  var tokensRead: Double { max(1, Double(promptLength) * (1 - cacheHitRate)) }
  /// Tokens of a sequence that memory is kept for: what it holds on average, or all it may come to.
  var cachedContext: Int {
    reservesWholeAnswers ? promptLength + outputLength : decodeContext
  }
  /// Tokens of a sequence in the cache while it decodes, on average.
  var decodeContext: Int { promptLength + (outputLength + 1) / 2 }

  /// What is wrong with it, or nothing.
  public func check() throws(Diagnostics) {
    func refuse(_ flag: String, _ value: String, _ rule: String) throws(Diagnostics) {
      throw Diagnostics("flag", "'--\(flag) \(value)'; it is \(rule)")
    }
    let most = 1 << 24
    if promptLength < 1 || promptLength > most {
      try refuse("isl", "\(promptLength)", "between 1 and 2^24 tokens")
    }
    if outputLength < 1 || outputLength > most {
      try refuse("osl", "\(outputLength)", "between 1 and 2^24 tokens")
    }
    if !(cacheHitRate >= 0 && cacheHitRate < 1) {
      try refuse("cache-hit", "\(cacheHitRate)", "at least 0 and below 1")
    }
    if !(timeToFirstToken > 0) { try refuse("ttft", "\(timeToFirstToken * 1e3)", "above 0 ms") }
    if !(timePerToken > 0) { try refuse("tpot", "\(timePerToken * 1e3)", "above 0 ms") }
    if !(acceptance >= 0 && acceptance <= 1) {
      try refuse("acceptance", "\(acceptance)", "between 0 and 1")
    }
    if cluster.devices > 8192 {
      throw Diagnostics(
        "cluster-size", "\(cluster.devices) devices; 'epc search' takes at most 8192")
    }
  }
}

/// The sizes that are searched. What is empty follows from the cluster and the model.
public struct SearchSpace: Hashable, Sendable {
  /// Devices of one instance of a pool.
  public var devices: [Int]
  /// Tensor ranks of a data group.
  public var tensor: [Int]
  /// Pipeline stages.
  public var pipeline: [Int]
  /// Slots of a rank above the least that hold all experts.
  public var extraSlots: [Int]
  /// MTP depths; those the model has none of are left out.
  public var drafts: [Int]
  /// Sequences of a data group.
  public var sequences: [Int]
  /// Tokens of a prefill step and data group.
  public var prefillTokens: [Int]
  /// Tokens of prompts in a decode step of one data group.
  public var chunks: [Int]
  /// Number formats of all weights, beside the model's own.
  public var precisions: [Precision]
  /// Number formats attention reads its cache and computes in.
  public var attentionFormats: [Precision.Format]
  /// Whether experts may be spread over ranks, and attention over groups of their own sequences; if
  /// not, pools are split by tensor and pipeline alone.
  public var hasExpertParallelism: Bool
  /// The most rows of a rank that low-latency All-to-All is used for: its buffers hold so many from
  /// each rank.
  public var mostLowLatencyRows: Int
  /// The most tokens of a step and data group that decodes.
  public var mostTokens: Int

  /// Makes the usual space.
  public init() {
    devices = []
    tensor = [1, 2, 4, 8, 16]
    pipeline = [1, 2, 4]
    extraSlots = [0, 1, 2]
    drafts = [0, 1, 2, 3]
    sequences = SearchSpace.grid(from: 1, to: 4096, perOctave: 4)
    prefillTokens = SearchSpace.grid(from: 256, to: 131_072, perOctave: 2)
    chunks = SearchSpace.grid(from: 16, to: 16_384, perOctave: 1)
    precisions = []
    attentionFormats = [.bf16]
    hasExpertParallelism = true
    mostLowLatencyRows = 512
    mostTokens = .max
  }

  /// Whole numbers with so many between a power of two and the next; all small ones.
  public static func grid(from low: Int, to high: Int, perOctave: Int) -> [Int] {
    var numbers: [Int] = []
    var number = low
    while number <= high {
      numbers.append(number)
      var octave = 1
      while octave * 2 <= number { octave *= 2 }
      number += max(1, octave / perOctave)
    }
    return numbers
  }

  /// Sizes of instances on a cluster: parts of a node, whole nodes, and divisors of the cluster.
  func instanceSizes(of cluster: Cluster) -> [Int] {
    if !devices.isEmpty { return devices.filter { $0 <= cluster.devices }.sorted() }
    let (all, node) = (cluster.devices, cluster.devicesPerNode)
    return (1...all).filter { size in
      node % size == 0 || size % node == 0 || all % size == 0 || size < node && size % 4 == 0
    }
  }
}
