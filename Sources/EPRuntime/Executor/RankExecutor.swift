public import EPBackend
internal import EPIR
internal import EPModel
public import EPPlan

/// Runs one rank of a plan, step by step, until it needs other ranks.
///
/// `begin` starts a step; `resume` runs until ranks must meet and hands out what this rank brings to
/// the meeting. When the transport has completed that, `resume` goes on from there. So any number of
/// ranks can share a thread, and one rank can have a process of its own.
///
/// A step of several micro-batches is as many walks through the calls, each with an arena of its own.
/// `issues` says which goes on when; the properties below are those of the one at hand.
public final class RankExecutor<D: Device> {
  typealias Call = RankCall

  /// The rank's program.
  public let program: RankProgram
  /// The rank in the cluster.
  public let clusterRank: Int
  let prepared: PreparedPool<D>
  let device: D
  /// Whether the transport takes rows from where they lie.
  let movesRows: Bool
  let variants: [PreparedPool<D>.Variant]
  private(set) var calls: [Call]
  private(set) var arena: Storage
  private(set) var step: StepState
  /// What the rank keeps of each sequence.
  var caches: [Int: SequenceCache] = [:]
  let cacheDeclarations: [CacheDeclaration]
  private var weights: [Storage]
  /// Where routed experts are streamed.
  let expertCache: ExpertCache?
  var guessScratch = [Scratch(), Scratch(), Scratch(), Scratch()]
  /// What runs the rank's program, where the device takes whole programs.
  var runner: (any RankRunner)?
  /// With a runner, the call that each micro-batch is in.
  var entered: [Int?] = []

  // The step being run.
  var input = StepInput(.main)
  var hasEntered = false
  var issued = 0
  private var parked: [MicroBatch] = []
  private var batch = 0
  private var orders: [StepInput.Phase: [Issue]] = [:]
  var issues: [Issue] = []
  var issueIndex = 0
  /// How many of the operations behind it have run already, while ranks had yet to meet.
  var ahead = 0
  /// The place in `calls` of the call being run.
  var callIndex: Int { issues[issueIndex].call }
  var pending = PendingWork.nothing
  var routings: [Reference: Routing] = [:]
  /// What members tell each other while a batch is being split over replicas.
  var choiceCounts: Routing.Counts?
  /// Rows of the fullest rank if the replicas of the batch just split had shared evenly.
  var evenMost = 0.0
  /// The batches dispatched in this step.
  var batches: [RoutedBatch] = []
  var outputs: [String: (place: Memory, type: TensorType)] = [:]
  /// Where rows that are sent lie: memory of the device, so that others may read it.
  var sendScratch: Scratch
  var receiveScratch = Scratch()

  /// Bytes that dispatch and combine moved, by layer.
  public internal(set) var traffic: [Int: Traffic] = [:]
  /// Sees the results of every operation, if set.
  public var observer: ((Observation) -> Void)?

  init(
    _ program: RankProgram, prepared: PreparedPool<D>, device: D, weights store: WeightStore,
    movesRows: Bool
  ) throws(ExecutionError) {
    self.program = program
    self.prepared = prepared
    self.device = device
    self.movesRows = movesRows
    clusterRank = prepared.pool.firstRank + program.rank
    let isFirst = program.coordinates.tensor == 0
    let variants = prepared.variants.map { isFirst ? $0.first : $0.others }
    let arenas = (0..<prepared.pool.parts).map { _ in
      device.allocate(bytes: prepared.arenaBytes)
    }
    sendScratch = Scratch { device.allocate(bytes: $0) }
    var declarations: [CacheDeclaration] = []
    var calls = arenas.map { _ in [Call]() }
    var kept: [Storage] = []
    var held: [[Memory?]] = []
    var drafts = 0
    for call in program.calls {
      let variant = variants[call.function]
      let places = try RankExecutor.load(call, variant, device: device, from: store)
      kept += places.values
      held.append(
        call.weights.indices.map { places[WeightPlace(weight: $0, form: nil)]?.memory })
      let cacheBase = declarations.count
      declarations += variant.function.function.caches
      let experts = RankExecutor.experts(call, variant, places, device: device, from: store)
      for (batch, arena) in arenas.enumerated() {
        calls[batch].append(
          Call(
            call, variant, device: device, draft: call.isDraft ? drafts : nil,
            arguments: RankExecutor.arguments(
              variant, call, weights: places, device: device, arena: arena,
              cacheBase: cacheBase), experts: experts))
      }
      if call.isDraft { drafts += 1 }
    }
    let slots = program.calls.reduce(1) { max($0, $1.placement?.slotsPerRank ?? 0) }
    self.variants = variants
    cacheDeclarations = declarations
    weights = kept
    expertCache = store.experts
    parked = zip(arenas, calls).map { arena, calls in
      MicroBatch(
        arena: arena, calls: calls,
        step: StepState(tokens: prepared.pool.batchTokens, slots: slots))
    }
    (arena, self.calls, step) = (arenas[0], calls[0], parked[0].step)
    guard device.runsPrograms else { return }
    do {
      runner = try device.makeRunner(
        PlacedProgram(
          program: program, pool: prepared.pool, weights: held,
          offsets: variants.map(\.offsets), sizes: variants.map(\.sizes),
          arenas: arenas.map(\.memory),
          phases: [order(of: .main)] + (0..<drafts).map { order(of: .draft($0)) },
          deviceBytes: prepared.deviceBytes))
    } catch { throw .backend(error) }
  }

  // MARK: Micro-batches

  /// The state of a walk.
  private struct MicroBatch {
    var arena: Storage
    var calls: [Call]
    var step: StepState
    var input = StepInput(.main)
    var hasEntered = false
    var issued = 0
    var routings: [Reference: Routing] = [:]
    var outputs: [String: (place: Memory, type: TensorType)] = [:]
  }

  /// How many walks a step has.
  var walks: Int { parked.count }

  /// Goes on with another walk.
  func select(_ next: Int) {
    if next == batch { return }
    parked[batch].input = input
    parked[batch].hasEntered = hasEntered
    parked[batch].issued = issued
    parked[batch].routings = routings
    parked[batch].outputs = outputs
    batch = next
    let chosen = parked[next]
    (arena, calls, step, input) = (chosen.arena, chosen.calls, chosen.step, chosen.input)
    (hasEntered, issued) = (chosen.hasEntered, chosen.issued)
    (routings, outputs) = (chosen.routings, chosen.outputs)
  }

  /// The operations of a step in the order they run, all micro-batches together.
  private func order(of phase: StepInput.Phase) -> [Issue] {
    if let known = orders[phase] { return known }
    let made = Issue.order(
      of: calls.indices.filter { isPart(calls[$0], phase) }.map { index in
        (index, calls[index].function)
      }, functions: variants.map(\.function), microBatches: prepared.pool.microBatches,
      lots: prepared.pool.lots)
    orders[phase] = made
    return made
  }

  // MARK: Steps

  /// Starts a step of the rank's data group.
  ///
  /// - Throws: `ExecutionError.stepTokens` where the plan has no room for it.
  public func begin(_ input: StepInput) throws(ExecutionError) {
    let tokens = input.ids.count
    let most = prepared.pool.load.tokens
    if tokens > most { throw .stepTokens(tokens: tokens, most: most) }
    let sampled = input.sampled
    if sampled.count > prepared.pool.load.samples {
      throw .stepSamples(samples: sampled.count, most: prepared.pool.load.samples)
    }
    precondition(
      input.parts.reduce(0) { $0 + $1.rows } == tokens, "parts of a step are all its rows")
    for (number, part) in input.split(into: walks).enumerated() {
      select(number)
      beginBatch(part)
    }
    issues = order(of: input.phase)
    (issueIndex, ahead) = (0, 0)
    pending = .nothing
    batches = []
    entered = parked.map { _ in nil }
    guard let runner else { return }
    switch input.phase {
    case .main: runner.begin(phase: 0, host: self)
    case .draft(let depth): runner.begin(phase: 1 + depth, host: self)
    }
  }

  private func beginBatch(_ input: StepInput) {
    var spans: [SequenceSpan] = []
    var row = 0
    for part in input.parts {
      let cache = self.cache(of: part.sequence)
      cache.reserve(part.position + part.rows)
      spans.append(
        SequenceSpan(
          rows: row..<(row + part.rows), firstPosition: part.position, cache: cache))
      row += part.rows
    }
    step.begin(
      spans, own: share(of: row, at: program.coordinates.tensor), sampled: input.sampled)
    self.input = input
    (hasEntered, issued) = (false, 0)
    outputs = [:]
  }

  /// Runs until ranks must meet; nil when the step is done.
  public func resume() throws(ExecutionError) -> Request? {
    if let request = try finishPending() { return request }
    if let runner { return try resume(runner) }
    while issueIndex < issues.count {
      let issue = issues[issueIndex]
      select(issue.batch)
      let call = calls[issue.call]
      if !hasEntered { enter(call) }
      guard issue.operation < call.arguments.count else {
        // A function without operations hands on what it gets.
        issueIndex += 1
        leave(call)
        continue
      }
      if let request = try run(issue.operation, of: call) {
        return request
      }
    }
    return nil
  }

  /// What the rank keeps of a sequence, empty at first.
  func cache(of sequence: Int) -> SequenceCache {
    if let known = caches[sequence] { return known }
    let cache = SequenceCache(cacheDeclarations)
    caches[sequence] = cache
    return cache
  }

  /// Forgets a sequence.
  public func remove(sequence: Int) { caches[sequence] = nil }

  private func isPart(_ call: Call, _ phase: StepInput.Phase) -> Bool {
    switch phase {
    case .main: return call.draft == nil
    case .draft(let depth): return call.draft == depth
    }
  }

  /// The rows that a tensor rank keeps of so many tokens.
  func share(of tokens: Int, at tensor: Int) -> Range<Int> {
    let parts = prepared.pool.mesh.tp
    return (tokens * tensor / parts)..<(tokens * (tensor + 1) / parts)
  }
}
