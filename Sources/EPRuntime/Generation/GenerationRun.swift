internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// The steps of one request.
struct GenerationRun<D: Device> {
  let request: GenerationRequest
  let session: PlanSession<D>
  /// MTP depths that run.
  let depths: Int
  let prefillPool: Int
  let decodePool: Int
  private let recorder: StepRecorder
  var sequences: [Sequence] = []
  var active: [Sequence] = []
  var waiting: [Sequence]
  var tick = 0
  var statistics = RunStatistics()
  private let clock = ContinuousClock()

  init(
    _ request: GenerationRequest, session: PlanSession<D>, depths: Int, prefillPool: Int,
    decodePool: Int
  ) {
    self.request = request
    self.session = session
    self.depths = depths
    self.prefillPool = prefillPool
    self.decodePool = decodePool
    recorder = StepRecorder(request.kept)
    sequences = request.prompts.enumerated().map { number, prompt in
      Sequence(
        number: number, prompt: prompt,
        modality: request.modalities.indices.contains(number) ? request.modalities[number] : [],
        depths: depths, made: request.made.indices.contains(number) ? request.made[number] : nil)
    }
    for sequence in sequences where sequence.isResumed {
      sequence.isFinished = request.ends(sequence.result.tokens)
    }
    waiting = sequences.filter { !$0.isFinished }
    tick = request.stepsBefore
    statistics.promptTokens = request.prompts.reduce(0) { $0 + $1.count }
    if !request.kept.isDisjoint(with: [.routing, .hidden]) {
      for pool in session.pools { recorder.attach(to: pool) }
    }
  }

  var isDone: Bool { waiting.isEmpty && active.isEmpty }
  var vocabulary: Int { session.plan.model.vocabulary }
  var width: Int { session.plan.model.hidden }

  /// One step of every pool that has work.
  mutating func step() throws(ExecutionError) {
    do { try session.processes.begin(step: tick) } catch { throw .backend(error) }
    admit()
    tick += 1
    var progressed = false
    for pool in Set([prefillPool, decodePool]).sorted() {
      let inputs = compose(pool)
      if inputs.allSatisfy({ $0.parts.isEmpty }) { continue }
      let start = clock.now
      let isPrefill = inputs.contains { $0.parts.contains { !sequences[$0.sequence].isDecoding } }
      let before = snapshots(inputs, pool)
      let outputs = try run(inputs, pool)
      var replays = Array(repeating: StepInput(.main), count: inputs.count)
      for (group, input) in inputs.enumerated() {
        var row = 0
        for part in input.parts {
          try take(
            part, row, outputs[group], before[part.sequence], pool, replay: &replays[group])
          row += part.rows
        }
      }
      if !replays.allSatisfy({ $0.parts.isEmpty }) { _ = try run(replays, pool) }
      if depths > 0 { try draft(inputs.flatMap(\.parts).map(\.sequence), pool) }
      let seconds = start.duration(to: clock.now).seconds
      if isPrefill {
        statistics.prefillSeconds += seconds
      } else {
        statistics.decodeSeconds += seconds
      }
      progressed = true
    }
    for pool in Set([prefillPool, decodePool]).sorted() { try release(pool) }
    if !progressed && tick > (request.arrivals.max() ?? 0) + 1 {
      throw .request("no data group has room for the next token of any sequence")
    }
  }

  /// Runs a step of a pool, seen by the recorder.
  mutating func run(_ inputs: [StepInput], _ pool: Int) throws(ExecutionError) -> [StepOutput] {
    statistics.steps += 1
    return try session.pools[pool].run(inputs)
  }

  // MARK: Joining and leaving

  /// Lets sequences in, to the data group with the fewest, while there is room.
  private mutating func admit() {
    while let next = waiting.first {
      let arrival =
        request.arrivals.indices.contains(next.number) ? request.arrivals[next.number] : 0
      if arrival > tick && !active.isEmpty { return }
      guard let group = freeGroup(prefillPool) else { return }
      waiting.removeFirst()
      (next.pool, next.group) = (prefillPool, group)
      active.append(next)
    }
  }

  /// The data group of a pool with the fewest sequences, if it has room for one more.
  func freeGroup(_ pool: Int) -> Int? {
    let plan = session.plan.pools[pool]
    let counts = (0..<plan.mesh.dp).map { group in
      active.filter { $0.pool == pool && $0.group == group }.count
    }
    guard let group = counts.indices.min(by: { counts[$0] < counts[$1] }),
      counts[group] < plan.load.sequences
    else { return nil }
    return group
  }

  /// Removes sequences that are done and hands on those whose prompts have been read.
  private mutating func release(_ pool: Int) throws(ExecutionError) {
    for sequence in active where sequence.pool == pool {
      if sequence.isFinished {
        session.pools[pool].remove(sequence: sequence.number)
      } else if sequence.isDecoding && pool != decodePool, let group = freeGroup(decodePool) {
        statistics.handoverBytes += try session.pools[pool].handOver(
          sequence.number, tokens: sequence.cached, from: sequence.group,
          to: session.pools[decodePool], group: group)
        session.pools[pool].remove(sequence: sequence.number)
        (sequence.pool, sequence.group) = (decodePool, group)
      }
    }
    active.removeAll { $0.isFinished }
  }

  // MARK: Steps

  /// What each data group of a pool works on next: sequences that decode first, then prompts.
  private func compose(_ pool: Int) -> [StepInput] {
    let plan = session.plan.pools[pool]
    return (0..<plan.mesh.dp).map { group in
      var input = StepInput(.main)
      var budget = plan.load.tokens
      let own = active.filter { $0.pool == pool && $0.group == group }
      var samples = plan.load.samples
      let decoding =
        pool == decodePool ? own.filter(\.isDecoding).prefix(min(budget, samples)) : []
      // Every sequence gets its next token before any gets drafts.
      budget -= decoding.count
      samples -= decoding.count
      for sequence in decoding {
        sequence.drafts = Array(sequence.drafts.prefix(min(budget, samples)))
        add(sequence, 1 + sequence.drafts.count, to: &input)
        budget -= sequence.drafts.count
        samples -= sequence.drafts.count
      }
      for sequence in own where !sequence.isDecoding {
        let left = sequence.tokens.count - sequence.cached
        var rows = min(left, min(budget, request.chunk ?? .max))
        if keepsLogits(of: sequence) { rows = min(rows, samples) }
        if rows == left && samples == 0 { rows -= 1 }
        if rows <= 0 { continue }
        add(sequence, rows, to: &input)
        budget -= rows
        samples -= input.parts.last?.sampled.count ?? 0
      }
      if !own.allSatisfy({ $0.modality.isEmpty }) {
        input.modality = input.parts.flatMap {
          sequences[$0.sequence].modality(from: $0.position, count: $0.rows)
        }
      }
      return input
    }
  }

  /// Whether logits of what a sequence reads are kept; an earlier run has kept those of its prompt.
  private func keepsLogits(of sequence: Sequence) -> Bool {
    request.kept.contains(.logits) && !sequence.isResumed
  }

  /// Adds rows of a sequence, and says of which logits are wanted.
  private func add(_ sequence: Sequence, _ rows: Int, to input: inout StepInput) {
    // Of a prompt, the last token's logits are sampled from; the others only on request.
    let isPrompt = !sequence.isDecoding && !keepsLogits(of: sequence)
    let isLast = sequence.cached + rows == sequence.tokens.count
    input.parts.append(
      StepInput.Part(
        sequence: sequence.number, rows: rows, position: sequence.cached,
        sampled: isPrompt ? (isLast ? rows - 1 : rows)..<rows : 0..<rows))
    input.ids += sequence.inputs(from: sequence.cached, count: rows)
  }

  /// States from before a step that drafts may have to be taken out of again.
  private func snapshots(_ inputs: [StepInput], _ pool: Int) -> [Int: [[[Storage]]]] {
    var taken: [Int: [[[Storage]]]] = [:]
    let runner = session.pools[pool]
    if !runner.hasStates { return taken }
    for part in inputs.flatMap(\.parts) where !sequences[part.sequence].drafts.isEmpty {
      taken[part.sequence] = runner.snapshot(sequence: part.sequence)
    }
    return taken
  }

  /// Takes over what a step made of one sequence.
  private mutating func take(
    _ part: StepInput.Part, _ row: Int, _ output: StepOutput, _ before: [[[Storage]]]?,
    _ pool: Int, replay: inout StepInput
  ) throws(ExecutionError) {
    let sequence = sequences[part.sequence]
    func logits(_ index: Int) -> ArraySlice<Float> { output.logits(ofRow: row + index) }
    let isPrompt = !sequence.isDecoding
    if isPrompt && keepsLogits(of: sequence) {
      for index in 0..<part.rows { sequence.result.prefillLogits += logits(index) }
    }
    var used = part.rows
    if !isPrompt || part.position + part.rows == sequence.tokens.count {
      // Row by row, as long as what was drafted is what the model makes itself.
      let drafts = sequence.drafts
      sequence.drafts = []
      used = isPrompt ? part.rows - 1 : 0
      while true {
        let position = part.position + used
        let row = logits(used)
        guard row.allSatisfy(\.isFinite) else {
          throw .notFinite(prompt: sequence.number, position: position)
        }
        used += 1
        if sequence.isFinished || request.count == 0 {
          sequence.isFinished = true
          break
        }
        let token = request.sampling.token(
          from: row, prompt: sequence.number, position: position)
        append(token, row, to: sequence)
        let draft = isPrompt ? drafts.count : used - 1
        guard drafts.indices.contains(draft), drafts[draft] == token, !sequence.isFinished else {
          break
        }
        statistics.accepted += 1
      }
      statistics.drafted += isPrompt ? 0 : drafts.count
    }
    for depth in 0..<min(depths, 1) {
      sequence.waiting[depth].hidden += output.hidden[(row * width)..<((row + used) * width)]
    }
    sequence.cached = part.position + used
    if used < part.rows, let before {
      // What was rejected is in the states: go back and run what was accepted again.
      session.pools[pool].restore(before, sequence: part.sequence)
      replay.parts.append(
        StepInput.Part(sequence: part.sequence, rows: used, position: part.position))
      replay.ids += sequence.inputs(from: part.position, count: used)
    }
  }

  private mutating func append(_ token: Int32, _ row: ArraySlice<Float>, to sequence: Sequence) {
    if request.kept.contains(.logits) { sequence.result.decodeLogits += row }
    sequence.tokens.append(token)
    sequence.result.tokens.append(token)
    statistics.tokens += 1
    if statistics.tokens == 1 {
      statistics.firstTokenSeconds = session.store.opened.duration(to: clock.now).seconds
      session.store.experts?.startWarming()
    }
    if request.ends(sequence.result.tokens) { sequence.isFinished = true }
  }

  /// The results, once all is done.
  func finish(weightBytes: Int) throws(ExecutionError) -> GenerationResult {
    var statistics = self.statistics
    statistics.weightBytes = weightBytes
    statistics.streaming = session.store.experts?.report
    statistics.traffic = []
    for pool in session.pools { statistics.traffic.append(try pool.allTraffic()) }
    statistics.balance = session.pools.map(\.balance)
    if !request.kept.isDisjoint(with: [.routing, .hidden]) {
      for pool in session.pools { recorder.detach(from: pool) }
    }
    return GenerationResult(
      prompts: sequences.map { sequence in
        var result = sequence.result
        recorder.fill(&result, sequence: sequence.number)
        return result
      }, statistics: statistics, vocabulary: vocabulary, hidden: width)
  }
}

extension Duration {
  /// The time in seconds.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
