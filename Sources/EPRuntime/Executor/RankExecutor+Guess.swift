internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// The operations of a call that choose experts: a norm, the router's matrix and the choice.
struct RouterChain {
  let norm: Int
  let scores: Int
  let route: Int
  /// What the norm reads: the hidden state that attention left.
  let hidden: Int

  /// Finds them; nil where the router reads anything but weights and the normalised hidden state.
  init?(_ function: Function, _ references: [[Reference?]]) {
    var makers: [Int: Int] = [:]
    for (number, operation) in function.operations.enumerated() {
      for value in operation.results { makers[value] = number }
    }
    /// The only value that an operation reads.
    func read(_ number: Int) -> Int? {
      let values = references[number].compactMap { reference -> Int? in
        if case .value(let value)? = reference { return value }
        return nil
      }
      return values.count == 1 ? values[0] : nil
    }
    guard let dispatch = function.operations.first(where: { $0.kind == .dispatch }),
      case .value(let chosen)? = dispatch.operand("indices"), let route = makers[chosen],
      function.operations[route].kind == .route, let logits = read(route),
      let scores = makers[logits], function.operations[scores].kind == .linear,
      let normed = read(scores), let norm = makers[normed],
      function.operations[norm].kind == .norm, let hidden = read(norm)
    else { return nil }
    (self.norm, self.scores, self.route, self.hidden) = (norm, scores, route, hidden)
  }
}

// Experts that the next layer will probably want.
extension RankExecutor {
  /// Lets the next layer's router choose for this layer's hidden states, which differ little from its
  /// own, and begins to read what it chooses ("pre-gating": Hwang et al. 2023, arXiv 2308.12066, trains
  /// routers for that; here it is a guess that costs a read where it is wrong).
  func guessNext() throws(ExecutionError) {
    guard let expertCache, let own = call.router,
      let next = calls[(callIndex + 1)...].first(where: { $0.experts != nil && $0.draft == nil }),
      let experts = next.experts, let slots = next.slots, let router = next.router,
      // Other ranks' experts are theirs to guess.
      slots.replicas.joined().count == slots.perRank
    else { return }
    let from = variants[call.function]
    let to = variants[next.function]
    let type = from.function.function.values[own.hidden]
    guard type == to.function.function.values[router.hidden] else { return }
    let rows = step.count(RowKind(type))
    var input = arena.memory.part(from: from.offsets[own.hidden], bytes: from.sizes[own.hidden])
    for (place, number) in [router.norm, router.scores, router.route].enumerated() {
      guard let kernel = to.kernels[number] else { return }
      var arguments = next.arguments[number]
      for (role, reference) in to.references[number].enumerated() {
        if case .value? = reference { arguments.operands[role] = input }
      }
      let results = to.function.function.operations[number].results
      for (index, value) in results.enumerated() {
        let width = to.function.function.values[value].elementsPerRow
        arguments.results[index] = guessScratch[place + index].take(bytes: 4 * rows * width)
      }
      do { try device.run(kernel, arguments, step) } catch { throw .backend(error) }
      input = arguments.results[0]
    }
    var choices: [(slot: Int, place: Int)] = []
    let width = input.integers.count / max(rows, 1)
    for (index, expert) in input.integers.enumerated()
    where expert >= 0 && Int(expert) < slots.replicas.count {
      let slot = slots.replicas[Int(expert)][0]
      if choices.contains(where: { $0.slot == slot }) { continue }
      choices.append((slot, index % max(width, 1)))
    }
    do { try expertCache.guess(experts.bank, choices) } catch { throw .weights(error) }
  }
}
