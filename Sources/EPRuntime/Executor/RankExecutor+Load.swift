internal import EPBackend
internal import EPModel
internal import EPPlan

// Weights of a call, and where its operations find what they read and write.
extension RankExecutor {
  /// A weight of a call in one of the forms that operations want it in.
  struct WeightPlace: Hashable {
    var weight: Int
    var form: WeightForm?
  }

  /// Loads the weights of a call, each in all the forms that operations want.
  static func load(
    _ call: RankProgram.Call, _ variant: PreparedPool<D>.Variant, device: D,
    from store: WeightStore
  ) throws(ExecutionError) -> [WeightPlace: Storage] {
    var places: [WeightPlace: Storage] = [:]
    for (number, references) in variant.references.enumerated() {
      for (role, reference) in references.enumerated() {
        guard case .weight(let index)? = reference, call.weights[index].isUsed else { continue }
        let form = variant.form(ofOperand: role, of: number, on: device)
        let place = WeightPlace(weight: index, form: form)
        if places[place] != nil { continue }
        do {
          places[place] = try store.load(
            call.weights[index], of: variant.function.function.weights[index],
            uses: store.uses(of: index, in: variant.function), ordinal: call.ordinal,
            as: form.map { form in
              WeightStore.Form(form: form) {
                device.prepare($0, rows: $1, as: form, to: $2)
              }
            })
        } catch { throw .weights(error) }
      }
    }
    return places
  }

  /// The weights of routed experts that operations of a call read, where they are streamed.
  static func experts(
    _ call: RankProgram.Call, _ variant: PreparedPool<D>.Variant, _ places: [WeightPlace: Storage],
    device: D, from store: WeightStore
  ) -> StreamedExperts? {
    guard let cache = store.experts else { return nil }
    var weights: [StreamedWeight] = []
    var parts: [Int: ExpertBank.Parts] = [:]
    for (number, references) in variant.references.enumerated() {
      for (role, reference) in references.enumerated() {
        guard case .weight(let index)? = reference,
          let place = places[
            WeightPlace(
              weight: index, form: variant.form(ofOperand: role, of: number, on: device))],
          let weight = store.streamedWeight(at: place)
        else { continue }
        let part = weights.firstIndex { $0 === weight } ?? weights.count
        if part == weights.count { weights.append(weight) }
        parts[number, default: 0] |= 1 << UInt64(part)
      }
    }
    if weights.isEmpty { return nil }
    return StreamedExperts(bank: cache.bank(layer: call.layer, weights: weights), parts: parts)
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
}
