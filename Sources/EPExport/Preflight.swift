public import EPIR
internal import EPModel
public import EPPlan

/// What an engine accepts at its start and fails on hours later, checked beforehand.
public struct Preflight: Hashable, Sendable {
  /// One thing that was checked of one pool.
  public struct Check: Hashable, Sendable {
    /// What is checked, stable: `preflight-experts`.
    public var id: String
    /// The pool's role.
    public var pool: String
    /// The numbers: `288 slots over 144 expert ranks, 2 each`.
    public var text: String
    /// What is wrong and the nearest fix; nil where it holds.
    public var problem: String?
  }

  /// The engine.
  public let engine: Engine
  /// All checks, pool by pool.
  public private(set) var checks: [Check]

  /// Checks a verified plan for an engine.
  public init(_ plan: Plan, for engine: Engine) {
    self.engine = engine
    checks = []
    for shape in plan.shapes { check(shape) }
    checkNodes(plan.shapes)
  }

  /// Checks pools.
  init(_ shapes: [PoolShape], for engine: Engine) {
    self.engine = engine
    checks = []
    for shape in shapes { check(shape) }
    checkNodes(shapes)
  }

  /// The checks that fail.
  public var problems: [Diagnostic] {
    checks.compactMap { check in
      check.problem.map { Diagnostic(check.id, "\(check.pool): \($0)") }
    }
  }

  /// Refuses what fails.
  public func require() throws(Diagnostics) {
    if !problems.isEmpty { throw Diagnostics(problems) }
  }

  mutating func add(_ id: String, _ shape: PoolShape, _ text: String, _ problem: String?) {
    checks.append(
      Check(id: "preflight-" + id, pool: shape.role.rawValue, text: text, problem: problem))
  }

  private mutating func check(_ shape: PoolShape) {
    checkHeads(shape)
    let world = shape.stageRanks
    add(
      "groups", shape, "\(world) ranks of a stage in \(shape.dp) data groups, \(shape.tp) each",
      world % shape.dp == 0 ? nil : "\(shape.dp) data groups do not divide \(world) ranks")
    if shape.experts > 0 { checkExperts(shape) }
    if shape.role != .decode {
      let chunk = shape.tokens.saturatingProduct(shape.dp)
      add(
        "chunk", shape,
        "a chunk of \(chunk) tokens over \(shape.dp) data groups, \(chunk / shape.dp) each",
        chunk % shape.dp == 0 && chunk / shape.dp > 0 && chunk <= Int(Int32.max)
          ? nil
          : "a chunk of \(chunk) tokens does not come out even over \(shape.dp) data groups; take "
            + "fewer tokens a step")
    }
    checkEngine(shape)
    if usesLowLatency(shape) { checkBuffer(shape) }
  }

  private mutating func checkHeads(_ shape: PoolShape) {
    for heads in shape.heads {
      let isEven = heads % shape.tp == 0
      add(
        "heads", shape, "\(heads) heads over \(shape.tp) tensor ranks",
        isEven
          ? nil
          : "\(heads) attention heads do not come out even over tp \(shape.tp); take '--tp "
            + "\(nearestDivisor(of: heads, to: shape.tp))'")
    }
    for heads in shape.keyHeads {
      let isEven = heads % shape.tp == 0 || shape.tp % heads == 0
      add(
        "key-heads", shape,
        "\(heads) key heads over \(shape.tp) tensor ranks" + (heads < shape.tp ? ", copied" : ""),
        isEven
          ? nil
          : "\(heads) key heads are neither a multiple nor a divisor of tp \(shape.tp); take '--tp "
            + "\(nearestDivisor(of: heads, to: shape.tp))'")
    }
  }

  private mutating func checkExperts(_ shape: PoolShape) {
    let (slots, ep) = (shape.slots, shape.ep)
    let missing = (ep - slots % ep) % ep
    add(
      "experts", shape, "\(slots) slots over \(ep) expert ranks, \(slots / ep) each",
      missing == 0
        ? nil
        : "\(shape.experts) experts and \(shape.redundant) redundant ones do not come out even over "
          + "ep \(ep); take '--redundant-experts \(shape.redundant + missing)'")
  }

  private func nearestDivisor(of number: Int, to size: Int) -> Int {
    (1...max(size, 1)).last { number % $0 == 0 } ?? 1
  }

  // MARK: Dispatch

  /// Whether the engine dispatches through the low-latency kernels in any step.
  private func usesLowLatency(_ shape: PoolShape) -> Bool {
    switch engine {
    case .sglang:
      // A pool of both phases falls back to gathering where the kernels do not fit.
      return shape.usesLowLatency
        && (shape.role != .unified || LowLatencyBuffer.hiddenSizes.contains(shape.hidden))
    case .vllm: return shape.usesLowLatency && shape.role == .decode && shape.dp > 1
    case .trtllm: return false
    }
  }

  private mutating func checkBuffer(_ shape: PoolShape) {
    let most = LowLatencyBuffer.mostTokens
    let buffer = LowLatencyBuffer(shape, for: engine)
    let tokens = LowLatencyBuffer.tokens(of: shape, in: engine)
    // So many sequences of a data group give so many tokens on a rank.
    func sequences(_ tokens: Int) -> Int {
      tokens * (engine == .vllm ? 1 : shape.tp) / (1 + shape.drafts)
    }
    add(
      "dispatch-tokens", shape,
      "\(tokens) tokens a rank dispatches while decoding, at most \(most)",
      tokens <= most
        ? nil
        : "\(tokens) tokens a rank and step are more than the \(most) that low-latency dispatch "
          + "takes; have at most \(sequences(most)) sequences in a data group")
    add(
      "dispatch-hidden", shape, "hidden size \(shape.hidden) in the low-latency kernels",
      LowLatencyBuffer.hiddenSizes.contains(shape.hidden)
        ? nil
        : "low-latency dispatch is built for hidden sizes "
          + LowLatencyBuffer.hiddenSizes.map(String.init).joined(separator: ", ")
          + ", not \(shape.hidden); compile one pool with '--phase unified'")
    // The plan's own receive buffers stand for the same thing.
    let rest = shape.memory.total - shape.memory.communication
    let room = shape.usableBytes - rest
    let fits = sequences(buffer.mostTokens(in: room))
    add(
      "dispatch-buffer", shape,
      "low-latency buffer of \(buffer.bytes) bytes for \(buffer.experts) slots and "
        + "\(buffer.tokens) tokens, \(max(room, 0)) free",
      buffer.bytes <= room
        ? nil
        : "a low-latency buffer of \(buffer.bytes) bytes and \(rest) bytes of weights, caches and "
          + "activations are more than the \(shape.usableBytes) usable; "
          + (fits > 0
            ? "have at most \(fits) sequences in a data group" : "take more devices"))
  }

  // MARK: Nodes

  private mutating func checkNodes(_ shapes: [PoolShape]) {
    for shape in shapes {
      let (ranks, per) = (shape.ranks, shape.devicesPerNode)
      let isEven = ranks % per == 0 || (ranks < per && per % ranks == 0)
      let starts = shape.firstRank % min(per, ranks) == 0
      add(
        "nodes", shape,
        "\(shape.instances == 1 ? "an instance" : "\(shape.instances) instances") of \(ranks) "
          + "ranks on nodes of \(per)",
        !isEven
          ? "an instance of \(ranks) ranks fills no whole nodes of \(per) devices; take "
            + "\((ranks + per - 1) / per * per) ranks"
          : starts
            ? nil
            : "the pool begins at rank \(shape.firstRank), within a node that another pool uses; "
              + "give the pools before it whole nodes")
      checkGroupsOnNodes(shape)
    }
  }

  /// A data group that crosses nodes is launched differently, and must cross them evenly.
  private mutating func checkGroupsOnNodes(_ shape: PoolShape) {
    guard engine == .vllm, shape.nodes > 1 else { return }
    let group = shape.pp * shape.tp
    let per = shape.devicesPerNode
    add(
      "group-nodes", shape, "data groups of \(group) ranks on nodes of \(per)",
      per % group == 0 || group % per == 0
        ? nil
        : "vLLM cannot lay data groups of \(group) ranks over nodes of \(per) devices; take a tp "
          + "that divides \(per)")
  }
}
