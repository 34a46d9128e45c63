import ArgumentParser
import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan

/// The flags that say what to compile a model for.
struct PlanFlags: ParsableArguments {
  @Option(
    help: "The devices: NAME:COUNT such as h200:32, or a JSON file. 'epc clusters' lists names.")
  var cluster: String?

  @Option(help: "What the plan does: prefill, decode or unified.")
  var phase: String = "unified"

  @Option(
    help: ArgumentHelp(
      "A pool for prefill, beside one for decode.",
      discussion: "Sizes by name: 'ep=32,tp=4,dp=8,pp=1,tokens=16384,batch=8,redundant=32'.",
      valueName: "sizes"))
  var prefill: String?

  @Option(help: ArgumentHelp("A pool for decode, beside one for prefill.", valueName: "sizes"))
  var decode: String?

  @Option(help: "Ranks that share the routed experts. EP_SIZE in the environment is the default.")
  var ep: Int?

  @Option(
    help: "Groups of ranks with sequences of their own. DP_SIZE in the environment is the default.")
  var dp: Int?

  @Option(help: "Ranks that share attention heads. TP_SIZE in the environment is the default.")
  var tp: Int?

  @Option(help: "Pipeline stages.")
  var pp: Int?

  @Option(help: "Sequences for each device.")
  var batch: Int?

  @Option(name: .customLong("tokens-per-gpu"), help: "Tokens of a prefill step for each device.")
  var tokensPerDevice: Int?

  @Option(
    help: "Tokens of a step and device whose logits are made; the sampled ones, or all if few.")
  var samples: Int?

  @Option(help: "Average length of a sequence, in tokens.")
  var context: Int = 4096

  @Option(help: "Slots for experts beyond one each; as few as come out even unless set.")
  var redundantExperts: Int?

  @Option(help: "MTP depths to run; all the model has unless set.")
  var mtp: Int?

  @Option(
    help: ArgumentHelp(
      "How tokens reach experts: auto, low-latency, normal or all-gather.",
      discussion: "The first three are All-to-All, 'auto' low-latency in decode; with 'all-gather' "
        + "every expert rank gathers all tokens and sums are scattered."))
  var dispatch: DispatchFlag = .auto

  /// What '--dispatch' takes.
  enum DispatchFlag: String, ExpressibleByArgument, CaseIterable {
    case auto
    case lowLatency = "low-latency"
    case normal
    case allGather = "all-gather"
  }

  @Option(help: "Number format of all weights: fp32, bf16, fp16, fp8, int8, int4, mxfp4, nvfp4.")
  var weights: String?

  @Option(help: "Number format of activations and caches: bf16, fp16 or fp32.")
  var activations: String = "bf16"

  @OptionGroup
  var loads: LoadFlags

  @Option(
    help: ArgumentHelp(
      "How replicas of an expert share its tokens: turn, or batch.",
      discussion: "'turn' goes by position; 'batch' splits every batch so that its fullest rank "
        + "gets as few rows as possible."))
  var sharing: String = "turn"

  @Option(help: "Room for routed rows on a rank, as a multiple of an even share.")
  var capacityFactor: Double = 2

  /// The request that the flags make.
  func request() throws(Diagnostics) -> CompileRequest {
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    var request = CompileRequest(hardware: try catalog.hardware(named: "h200"))
    if let cluster {
      request.cluster = try catalog.cluster(cluster)
      request.defaultHardware = request.cluster?.hardware ?? request.defaultHardware
    }
    request.context = context
    request.drafts = mtp
    request.activations = try PlanFlags.activations(activations)
    if let weights {
      guard let format = Precision.Format(rawValue: weights) else {
        throw PlanFlags.unknown("--weights", weights, Precision.Format.allCases.map(\.rawValue))
      }
      let other: Precision.Format = format == .fp32 || format == .fp16 ? format : .bf16
      request.precision = Precision(linear: format, experts: format, other: other)
    }
    if !(capacityFactor >= 1 && capacityFactor <= 1e6) {
      throw Diagnostics("flag", "'--capacity-factor \(capacityFactor)'; it is at least 1")
    }
    request.capacityFactor = capacityFactor
    request.loads = try loads.source()
    // Placements for given loads are priced.
    if request.loads != nil { request.calibration = try Calibration(catalog: catalog) }
    guard let sharing = ExpertPlacement.Sharing(rawValue: sharing) else {
      throw PlanFlags.unknown(
        "--sharing", self.sharing, ExpertPlacement.Sharing.allCases.map(\.rawValue))
    }
    request.sharing = sharing
    request.pools = try pools().map { pool in
      var pool = pool
      pool.gathersTokens = dispatch == .allGather
      pool.usesLowLatency =
        dispatch == .lowLatency ? true : dispatch == .normal ? false : pool.usesLowLatency
      return pool
    }
    return request
  }

  private func pools() throws(Diagnostics) -> [CompileRequest.PoolRequest] {
    if let prefill, let decode {
      if [ep, dp, tp, pp, batch, tokensPerDevice, redundantExperts].contains(where: { $0 != nil }) {
        throw Diagnostics(
          "flag", "with '--prefill' and '--decode' sizes stand in those, as in '--decode ep=144'")
      }
      return [
        try PlanFlags.pool(.prefill, prefill, flag: "--prefill"),
        try PlanFlags.pool(.decode, decode, flag: "--decode"),
      ]
    }
    if prefill != nil || decode != nil {
      throw Diagnostics(
        "flag",
        "'--prefill' and '--decode' come together; one pool is '--phase prefill' or "
          + "'--phase decode'")
    }
    guard let role = Pool.Role(rawValue: phase) else {
      throw PlanFlags.unknown("--phase", phase, Pool.Role.allCases.map(\.rawValue))
    }
    var pool = CompileRequest.PoolRequest(role)
    pool.ep = try PlanFlags.size(ep, "EP_SIZE")
    pool.dp = try PlanFlags.size(dp, "DP_SIZE")
    pool.tp = try PlanFlags.size(tp, "TP_SIZE")
    pool.pp = pp
    pool.batch = batch
    pool.tokensPerDevice = tokensPerDevice
    pool.samples = samples
    pool.redundantExperts = redundantExperts
    return [pool]
  }

  private static func pool(
    _ role: Pool.Role, _ text: String, flag: String
  ) throws(Diagnostics) -> CompileRequest.PoolRequest {
    var pool = CompileRequest.PoolRequest(role)
    for part in text.split(separator: ",") {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2, let value = Int(pair[1]) else {
        throw Diagnostics("flag", "'\(part)' in '\(flag)' is no size; write 'ep=32'")
      }
      switch pair[0] {
      case "ep": pool.ep = value
      case "dp": pool.dp = value
      case "tp": pool.tp = value
      case "pp": pool.pp = value
      case "batch": pool.batch = value
      case "tokens": pool.tokensPerDevice = value
      case "samples": pool.samples = value
      case "redundant": pool.redundantExperts = value
      default:
        throw unknown(
          "a size of \(flag)", pair[0],
          ["ep", "dp", "tp", "pp", "batch", "tokens", "samples", "redundant"])
      }
    }
    return pool
  }

  /// A flag's value, or else that of a variable of the environment.
  private static func size(_ flag: Int?, _ variable: String) throws(Diagnostics) -> Int? {
    if let flag { return flag }
    guard let text = Terminal.environment[variable], !text.isEmpty else { return nil }
    guard let value = Int(text), value > 0 else {
      throw Diagnostics("environment", "\(variable) is '\(text)'; it is a positive number")
    }
    return value
  }

  private static func activations(_ text: String) throws(Diagnostics) -> Precision.Format {
    let known: [Precision.Format] = [.bf16, .fp16, .fp32]
    guard let format = Precision.Format(rawValue: text), known.contains(format) else {
      throw unknown("--activations", text, known.map(\.rawValue))
    }
    return format
  }

  /// What '--overlap' says.
  static func overlap(_ text: String) throws(Diagnostics) -> OverlapChoice {
    guard let choice = OverlapChoice(parsing: text) else {
      throw unknown("--overlap", text, ["auto", "none", "1", "2", "3"])
    }
    return choice
  }

  /// The flags that were given and that a plan answers itself.
  var sizes: [String] {
    let given: [(String, Bool)] = [
      ("--cluster", cluster != nil), ("--phase", phase != Pool.Role.unified.rawValue),
      ("--prefill", prefill != nil), ("--decode", decode != nil), ("--ep", ep != nil),
      ("--dp", dp != nil), ("--tp", tp != nil), ("--pp", pp != nil), ("--batch", batch != nil),
      ("--tokens-per-gpu", tokensPerDevice != nil), ("--samples", samples != nil),
      ("--context", context != 4096), ("--redundant-experts", redundantExperts != nil),
      ("--mtp", mtp != nil), ("--weights", weights != nil), ("--dispatch", dispatch != .auto),
      ("--activations", activations != "bf16"),
    ]
    return given.filter(\.1).map(\.0)
  }

  static func unknown(_ flag: String, _ text: String, _ known: [String]) -> Diagnostics {
    Diagnostics(
      "flag", "'\(text)' is no value of \(flag); known are \(known.joined(separator: ", "))")
  }
}
