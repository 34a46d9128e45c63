internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

// Multi-token prediction: every depth keeps its caches up to date and drafts a token.
extension GenerationRun {
  /// Rows that a depth works on for one sequence.
  private struct Work {
    var sequence: Sequence
    var position: Int
    var hidden: [Float]
    /// Rows whose tokens are known; the others rest on drafts and are done again.
    var known: Int
    var rows: Int
  }

  /// Runs the MTP depths on what the last step made of the given sequences, and drafts tokens for
  /// those that go on.
  ///
  /// Depth `d` takes for position `i` the hidden state of the depth before and token `i + d + 1`. With
  /// more tokens to draft than depths, the last depth goes on from its own hidden state.
  mutating func draft(_ numbers: [Int], _ pool: Int) throws(ExecutionError) {
    let chosen = numbers.map { sequences[$0] }
    var guesses: [Int: (position: Int, hidden: [Float])] = [:]
    for sequence in chosen { sequence.drafts = [] }
    for depth in 0..<depths {
      let work = chosen.compactMap { pending($0, depth, guessed: guesses[$0.number]) }
      guesses = [:]
      let outputs = try run(work, depth, pool)
      for (item, output) in zip(work, outputs) {
        take(item, depth, output, guesses: &guesses)
      }
    }
    try chain(chosen, guesses, pool)
    for sequence in chosen {
      if !isGoingOn(sequence) {
        sequence.drafts = []
      } else if request.kept.contains(.drafts) {
        sequence.result.drafted.append(sequence.drafts)
      }
    }
  }

  private func isGoingOn(_ sequence: Sequence) -> Bool {
    sequence.isDecoding && !sequence.isFinished && request.speculate > 0
  }

  /// What a depth has to do: rows that were left waiting, then those that rest on drafts.
  private func pending(
    _ sequence: Sequence, _ depth: Int, guessed: (position: Int, hidden: [Float])?
  ) -> Work? {
    let waiting = sequence.waiting[depth]
    var hidden = waiting.hidden
    let position = hidden.isEmpty ? guessed?.position ?? waiting.position : waiting.position
    if let guessed { hidden += guessed.hidden }
    let known = max(
      min(waiting.hidden.count / width, sequence.tokens.count - depth - 1 - position), 0)
    let isDrafting = isGoingOn(sequence) && sequence.drafts.count == depth
    let rows = isDrafting ? hidden.count / width : known
    if rows <= 0 { return nil }
    return Work(
      sequence: sequence, position: position, hidden: Array(hidden.prefix(rows * width)),
      known: known, rows: rows)
  }

  private mutating func take(
    _ item: Work, _ depth: Int, _ output: StepOutput,
    guesses: inout [Int: (position: Int, hidden: [Float])]
  ) {
    let sequence = item.sequence
    sequence.waiting[depth].hidden.removeFirst(item.known * width)
    sequence.waiting[depth].position = item.position + item.known
    if depth == 0 && request.kept.contains(.drafts) {
      sequence.result.draftLogits += output.logits.prefix(item.known * vocabulary)
    }
    let made = output.hidden
    if depth + 1 < depths {
      if sequence.waiting[depth + 1].hidden.isEmpty {
        sequence.waiting[depth + 1].position = item.position
      }
      sequence.waiting[depth + 1].hidden += made.prefix(item.known * width)
    }
    if !isGoingOn(sequence) { return }
    sequence.drafts.append(
      Sampling.greedy.token(
        from: output.logits.suffix(vocabulary), prompt: sequence.number, position: 0))
    if depth + 1 < depths {
      if item.rows > item.known {
        guesses[sequence.number] = (
          item.position + item.known, Array(made.dropFirst(item.known * width))
        )
      }
    } else {
      guesses[sequence.number] = (item.position + item.rows - 1, Array(made.suffix(width)))
    }
  }

  /// Drafts on from the last depth's own hidden state, one row a sequence.
  private mutating func chain(
    _ chosen: [Sequence], _ starts: [Int: (position: Int, hidden: [Float])], _ pool: Int
  ) throws(ExecutionError) {
    var starts = starts
    while true {
      let work = chosen.compactMap { sequence -> Work? in
        guard isGoingOn(sequence), sequence.drafts.count >= depths,
          sequence.drafts.count < request.speculate, let start = starts[sequence.number]
        else { return nil }
        return Work(
          sequence: sequence, position: start.position + 1, hidden: start.hidden, known: 0, rows: 1)
      }
      if work.isEmpty { return }
      let outputs = try run(work, depths - 1, pool)
      for (item, output) in zip(work, outputs) {
        item.sequence.drafts.append(
          Sampling.greedy.token(
            from: output.logits.suffix(vocabulary), prompt: item.sequence.number, position: 0))
        starts[item.sequence.number] = (item.position, Array(output.hidden.suffix(width)))
      }
    }
  }

  /// Runs a depth, in as many steps as the plan has room for, and returns what it made of each piece
  /// of work.
  private mutating func run(
    _ work: [Work], _ depth: Int, _ pool: Int
  ) throws(ExecutionError) -> [StepOutput] {
    let plan = session.plan.pools[pool]
    let samplesAll = request.kept.contains(.drafts)
    var made = work.map { _ in StepOutput(logits: [], sampled: [], hidden: []) }
    var done = work.map { _ in 0 }
    while true {
      var inputs = Array(repeating: StepInput(.draft(depth)), count: plan.mesh.dp)
      var samples = inputs.map { _ in plan.load.samples }
      var taken: [(item: Int, group: Int, rows: Range<Int>)] = []
      for (index, item) in work.enumerated() {
        let group = item.sequence.group
        let start = inputs[group].ids.count
        let left = item.rows - done[index]
        var rows = min(left, plan.load.tokens - start)
        if samplesAll { rows = min(rows, samples[group]) }
        // The last row's logits are what is drafted from.
        if rows == left && samples[group] == 0 { rows -= 1 }
        if rows <= 0 { continue }
        let first = samplesAll ? 0 : rows == left ? rows - 1 : rows
        samples[group] -= rows - first
        let position = item.position + done[index]
        inputs[group].parts.append(
          StepInput.Part(
            sequence: item.sequence.number, rows: rows, position: position, sampled: first..<rows))
        inputs[group].ids += item.sequence.inputs(from: position + depth + 1, count: rows)
        inputs[group].hidden +=
          item.hidden[(done[index] * width)..<((done[index] + rows) * width)]
        taken.append((index, group, start..<(start + rows)))
        done[index] += rows
      }
      if taken.isEmpty { return made }
      let outputs = try run(inputs, pool)
      for (item, group, rows) in taken {
        for row in outputs[group].sampled where rows.contains(row) {
          made[item].logits += outputs[group].logits(ofRow: row)
        }
        made[item].hidden +=
          outputs[group].hidden[(rows.lowerBound * width)..<(rows.upperBound * width)]
      }
    }
  }
}
