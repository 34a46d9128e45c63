public import EPBackend
internal import EPIR
public import EPModel
public import EPPlan

/// Runs one rank of a plan, step by step, until it needs other ranks.
///
/// `begin` starts a step; `resume` runs until ranks must meet and hands out what this rank brings to
/// the meeting. When the transport has completed that, `resume` goes on from there. So any number of
/// ranks can share a thread, and one rank can have a process of its own.
public final class RankExecutor<D: Device> {
  /// A call with its operands found.
  struct Call {
    var function: Int
    var layer: Int
    /// Which MTP depth it is, or nil.
    var draft: Int?
    var slots: Routing.Slots?
    var arguments: [OpArguments]
    /// The weights of operations whose experts are streamed.
    var streams: [Int: StreamedWeight]
  }

  /// What must be done when the request that was handed out is complete.
  enum Pending {
    case nothing
    case advance
    case dispatchChoices(operation: Int)
    case dispatchCounts(operation: Int)
    case dispatchRows(operation: Int)
    case combine(operation: Int)
    case sum(Memory, blocks: Int, count: Int, result: Memory)
    case interleave(Memory, parts: Int, count: Int, outer: Int, result: Memory)
  }

  /// The rank's program.
  public let program: RankProgram
  /// The rank in the cluster.
  public let clusterRank: Int
  let prepared: PreparedPool<D>
  let device: D
  let variants: [PreparedPool<D>.Variant]
  let calls: [Call]
  let arena: Storage
  let step: StepState
  /// What the rank keeps of each sequence.
  var caches: [Int: SequenceCache] = [:]
  let cacheDeclarations: [CacheDeclaration]
  private var weights: [Storage]
  let store: WeightStore

  // The step being run.
  private var input = StepInput(.main)
  var callIndex = 0
  private var operationIndex = 0
  private var hasEntered = false
  var pending = Pending.nothing
  var routings: [Reference: Routing] = [:]
  /// What members tell each other while a batch is being split over replicas.
  var choiceCounts: Routing.Counts?
  /// Rows of the fullest rank if the replicas of the batch just split had shared evenly.
  var evenMost = 0.0
  /// The batches dispatched in this step.
  var batches: [RoutedBatch] = []
  private var outputs: [String: (place: Memory, type: TensorType)] = [:]
  var sendScratch = Scratch()
  var receiveScratch = Scratch()

  /// Bytes that dispatch and combine moved, by layer.
  public internal(set) var traffic: [Int: Traffic] = [:]
  /// Sees the results of every operation, if set.
  public var observer: ((Observation) -> Void)?

  /// What an operation of a rank has just made.
  public struct Observation {
    /// The layer, or -1 for embedding and head.
    public var layer: Int
    /// The function, as an index into the pool's.
    public var function: Int
    /// Which MTP depth it is, or nil.
    public var draft: Int?
    /// The operation, or nil when the whole function is done.
    public var operation: Int?
    /// The values made, each with its type, its rows filled.
    public var values: [(name: String, place: Memory, type: TensorType)]
    /// The rank's rows among the tokens of the step.
    public var own: Range<Int>
    /// The rows among them whose logits are made.
    public var sampled: [Int]
    /// The sequences of the step.
    public var parts: [StepInput.Part]

    /// The sequence and position of each row of a kind; none for rows that are no tokens.
    public func places(_ kind: RowKind) -> [(sequence: Int, position: Int)] {
      let all = parts.flatMap { part in
        (0..<part.rows).map { (part.sequence, part.position + $0) }
      }
      switch kind {
      case .tokens: return all
      case .own: return Array(all[own])
      case .sampled: return sampled.map { all[$0] }
      case .routed, .none: return []
      }
    }
  }

  init(
    _ program: RankProgram, prepared: PreparedPool<D>, device: D, weights store: WeightStore
  ) throws(ExecutionError) {
    self.program = program
    self.prepared = prepared
    self.device = device
    clusterRank = prepared.pool.firstRank + program.rank
    let isFirst = program.coordinates.tensor == 0
    let variants = prepared.variants.map { isFirst ? $0.first : $0.others }
    let arena = device.allocate(bytes: prepared.arenaBytes)
    var declarations: [CacheDeclaration] = []
    var calls: [Call] = []
    var kept: [Storage] = []
    var drafts = 0
    for call in program.calls {
      let variant = variants[call.function]
      let streams = RankExecutor.streams(call, variant, device: device, from: store)
      let places = try RankExecutor.load(
        call, variant, device: device, from: store, except: streams)
      kept += places.values
      let cacheBase = declarations.count
      declarations += variant.function.function.caches
      calls.append(
        Call(
          function: call.function, layer: call.layer, draft: call.isDraft ? drafts : nil,
          slots: call.placement.map { Routing.Slots($0) },
          arguments: RankExecutor.arguments(
            variant, call, weights: places, device: device, arena: arena, cacheBase: cacheBase),
          streams: streams))
      if call.isDraft { drafts += 1 }
    }
    self.variants = variants
    self.arena = arena
    self.calls = calls
    cacheDeclarations = declarations
    weights = kept
    self.store = store
    step = StepState(
      tokens: prepared.pool.load.tokens,
      slots: program.calls.reduce(1) { max($0, $1.placement?.slotsPerRank ?? 0) })
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
    precondition(row == tokens, "parts of a step are all its rows")
    step.begin(spans, own: share(of: tokens, at: program.coordinates.tensor), sampled: sampled)
    self.input = input
    (callIndex, operationIndex, hasEntered) = (0, 0, false)
    pending = .nothing
    outputs = [:]
    batches = []
  }

  /// Runs until ranks must meet; nil when the step is done.
  public func resume() throws(ExecutionError) -> Request? {
    if let request = try finishPending() { return request }
    while callIndex < calls.count {
      let call = calls[callIndex]
      if !isPart(call) {
        callIndex += 1
        continue
      }
      if !hasEntered { enter(call) }
      let operations = variants[call.function].function.function.operations
      while operationIndex < operations.count {
        if let request = try run(operations[operationIndex], operationIndex, of: call) {
          return request
        }
      }
      leave(call)
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

  func isPart(_ call: Call) -> Bool {
    switch input.phase {
    case .main: return call.draft == nil
    case .draft(let depth): return call.draft == depth
    }
  }

  /// The rows that a tensor rank keeps of so many tokens.
  func share(of tokens: Int, at tensor: Int) -> Range<Int> {
    let parts = prepared.pool.mesh.tp
    return (tokens * tensor / parts)..<(tokens * (tensor + 1) / parts)
  }

  private func place(of value: Int, in function: Int) -> Memory {
    let variant = variants[function]
    return arena.memory.part(from: variant.offsets[value], bytes: variant.sizes[value])
  }

  /// Puts the parameters of a call where it wants them.
  private func enter(_ call: Call) {
    hasEntered = true
    let function = variants[call.function].function.function
    // What another call left in the arena comes first: other parameters may lie on it.
    for port in function.parameters {
      guard let made = outputs[port.name] else { continue }
      place(of: port.value, in: call.function).copy(from: filled(made.place, made.type))
    }
    for port in function.parameters where outputs[port.name] == nil {
      let to = place(of: port.value, in: call.function)
      let type = function.values[port.value]
      switch port.name {
      case "ids": to.copy(from: input.ids)
      case "modality":
        let modality =
          input.modality.isEmpty ? input.ids.map { _ in Int32(0) } : input.modality
        to.copy(from: modality)
      default:
        let rows = RowKind(type) == .own ? step.own : 0..<step.tokens
        let width = type.elementsPerRow
        let given = input.hidden.dropFirst(rows.lowerBound * width).prefix(rows.count * width)
        to.copy(from: given)
      }
    }
    outputs = [:]
  }

  private func leave(_ call: Call) {
    let function = variants[call.function].function.function
    for port in function.results {
      outputs[port.name] = (place(of: port.value, in: call.function), function.values[port.value])
    }
    if let observer {
      observer(
        observation(
          call, nil,
          function.results.map { ($0.name, $0.value) }))
    }
    callIndex += 1
    (operationIndex, hasEntered) = (0, false)
  }

  /// Ends the operation being run.
  func advance() {
    let call = calls[callIndex]
    if let observer {
      let operation = variants[call.function].function.function.operations[operationIndex]
      observer(observation(call, operationIndex, operation.results.map { ("", $0) }))
    }
    operationIndex += 1
    pending = .nothing
  }

  private func observation(
    _ call: Call, _ operation: Int?, _ values: [(String, Int)]
  ) -> Observation {
    let function = variants[call.function].function.function
    return Observation(
      layer: call.layer, function: call.function, draft: call.draft, operation: operation,
      values: values.map { name, value in
        let type = function.values[value]
        return (name, filled(place(of: value, in: call.function), type), type)
      }, own: step.own, sampled: step.sampled, parts: input.parts)
  }

  /// The part of a place that the step's rows fill.
  func filled(_ place: Memory, _ type: TensorType) -> Memory {
    place.elements(from: 0, count: step.count(RowKind(type)) * type.elementsPerRow)
  }

  /// The call being run.
  var call: Call { calls[callIndex] }

  private func run(
    _ operation: Operation, _ number: Int, of call: Call
  ) throws(ExecutionError) -> Request? {
    let arguments = call.arguments[number]
    if let kernel = variants[call.function].kernels[number] {
      if let stream = call.streams[number] {
        try runStreamed(kernel, arguments, stream)
        advance()
        return nil
      }
      do { try device.run(kernel, arguments, step) } catch { throw .backend(error) }
      advance()
      return nil
    }
    return try meet(operation, number, arguments)
  }

  // MARK: Results

  /// A result of the last call of the step, by name, with its rows; nil where it made none.
  func output(_ name: String) -> (place: Memory, type: TensorType)? {
    outputs[name].map { (filled($0.place, $0.type), $0.type) }
  }
}
