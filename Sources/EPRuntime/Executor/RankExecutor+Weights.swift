internal import EPBackend
internal import EPModel
internal import EPPlan

// The weights of a rank: held in the forms that operations want, or streamed expert by expert.
extension RankExecutor {
  /// A weight of a call in one of the forms that operations want it in.
  struct WeightPlace: Hashable {
    var weight: Int
    var form: WeightForm?
  }

  /// Loads the weights of a call, each in all the forms that operations want.
  static func load(
    _ call: RankProgram.Call, _ variant: PreparedPool<D>.Variant, device: D,
    from store: WeightStore, except streams: [Int: StreamedWeight]
  ) throws(ExecutionError) -> [WeightPlace: Storage] {
    var places: [WeightPlace: Storage] = [:]
    for (number, references) in variant.references.enumerated() {
      for (role, reference) in references.enumerated() {
        guard case .weight(let index)? = reference, call.weights[index].isUsed else { continue }
        let form = variant.form(ofOperand: role, of: number, on: device)
        if form != nil && streams[number] != nil { continue }
        let place = WeightPlace(weight: index, form: form)
        if places[place] != nil { continue }
        do {
          places[place] = try store.load(
            call.weights[index], of: variant.function.function.weights[index],
            uses: store.uses(of: index, in: variant.function), ordinal: call.ordinal,
            as: form.map { form in
              WeightStore.Form(form: form) { device.prepare($0, as: form, to: $1) }
            })
        } catch { throw .weights(error) }
      }
    }
    return places
  }

  /// The weights of a call whose experts are read when they are needed, by operation.
  static func streams(
    _ call: RankProgram.Call, _ variant: PreparedPool<D>.Variant, device: D,
    from store: WeightStore
  ) -> [Int: StreamedWeight] {
    guard let cache = store.cache else { return [:] }
    var streams: [Int: StreamedWeight] = [:]
    for (number, references) in variant.references.enumerated() {
      guard let kernel = variant.kernels[number], device.takesSlots(kernel) else { continue }
      for (role, reference) in references.enumerated() {
        guard case .weight(let index)? = reference, call.weights[index].isUsed,
          call.weights[index].axes.first?.split == .expert,
          let form = device.form(ofOperand: role, of: kernel)
        else { continue }
        let stream = StreamedWeight(
          call.weights[index], of: variant.function.function.weights[index],
          uses: store.uses(of: index, in: variant.function), ordinal: call.ordinal,
          as: WeightStore.Form(form: form) { device.prepare($0, as: form, to: $1) }, from: store)
        streams[number] = stream
        cache.add(stream)
      }
    }
    return streams
  }

  static func arguments(
    _ variant: PreparedPool<D>.Variant, _ call: RankProgram.Call, weights: [WeightPlace: Storage],
    device: D, arena: Storage, cacheBase: Int
  ) -> [OpArguments] {
    let function = variant.function.function
    return function.operations.enumerated().map { number, operation in
      var arguments = OpArguments(operands: [], results: [])
      for (role, reference) in variant.references[number].enumerated() {
        switch reference {
        case .value(let value)?:
          arguments.operands.append(
            arena.memory.part(from: variant.offsets[value], bytes: variant.sizes[value]))
        case .weight(let weight)?:
          let place = WeightPlace(
            weight: weight, form: variant.form(ofOperand: role, of: number, on: device))
          arguments.operands.append(weights[place]?.memory)
          if operation.kind == .embed {
            arguments.firstRow = call.weights[weight].ranges.first?.lowerBound ?? 0
          }
        case .cache(let cache)?:
          arguments.operands.append(nil)
          arguments.cache = cacheBase + cache
        case nil: arguments.operands.append(nil)
        }
      }
      arguments.results = operation.results.map {
        arena.memory.part(from: variant.offsets[$0], bytes: variant.sizes[$0])
      }
      return arguments
    }
  }

  /// Runs an operation on the experts that rows are sent to, in as many turns as memory makes it.
  func runStreamed(
    _ kernel: D.Kernel, _ arguments: OpArguments, _ stream: StreamedWeight
  ) throws(ExecutionError) {
    try store.cache?.withMatrices(of: stream, activeSlots(stream.slots.count)) {
      (table) throws(ExecutionError) in
      var now = arguments
      now.slots = table
      do throws(BackendError) { try device.run(kernel, now, step) } catch {
        throw .backend(error)
      }
    }
  }

  /// The slots that rows are sent to.
  func activeSlots(_ count: Int) -> [Int] {
    let ends = step.slotEnds.memory
    return (0..<count).filter { slot in
      unsafe ends.indices[slot] > (slot == 0 ? 0 : ends.indices[slot - 1])
    }
  }

  /// Knowing where rows go, has the experts of the call read that are streamed and not there, and
  /// those of the next one that are likely.
  func anticipateExperts() throws(ExecutionError) {
    guard let cache = store.cache else { return }
    for (_, stream) in call.streams.sorted(by: { $0.key < $1.key }) {
      try cache.anticipate(stream, activeSlots(stream.slots.count))
    }
    let next = calls.dropFirst(callIndex + 1).first { !$0.streams.isEmpty && isPart($0) }
    for (_, stream) in (next?.streams ?? [:]).sorted(by: { $0.key < $1.key }) {
      try cache.anticipate(stream)
    }
  }

  /// Bytes of the arena, and of caches for so many sequences of so many tokens.
  func workingBytes(sequences: Int, tokens: Int) -> Int {
    let bytes = cacheDeclarations.reduce(0) { sum, declaration in
      let elements = declaration.parts.reduce(0) { sum, part in
        sum + part.reduce(1) { $0 * ($1.size ?? 1) }
      }
      return sum + 4 * elements * (declaration.kind.growsWithContext ? tokens : 1)
    }
    return arena.memory.bytes + sequences * bytes
  }
}
