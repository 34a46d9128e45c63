internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// The routed experts of a call, and which operations read which of their weights.
struct StreamedExperts {
  let bank: ExpertBank
  /// The weights, for each operation that reads any.
  let parts: [Int: ExpertBank.Parts]
}

// Operations on experts that are not all in memory.
extension RankExecutor {
  /// The slots that rows of the step go to.
  private var usedSlots: [Int] {
    let ends = step.slotEnds.memory.integers
    return ends.indices.filter { ends[$0] > ($0 > 0 ? ends[$0 - 1] : 0) }
  }

  /// Begins to read what the rows just sent need.
  func expectExperts(of call: Call) throws(ExecutionError) {
    guard let experts = call.experts, let expertCache else { return }
    let slots = usedSlots.filter { $0 < experts.bank.slots.count }
    do { try expertCache.expect(experts.bank, slots: slots) } catch { throw .weights(error) }
    try guessNext()
  }

  /// Runs an operation on the rows of one slot after the other, as their experts arrive. Rows do not
  /// depend on each other, so the results are those of a run on all of them.
  func run(
    _ kernel: any BoundKernel, _ number: Int, of call: Call, _ bank: ExpertBank,
    _ parts: ExpertBank.Parts
  ) throws(ExecutionError) {
    guard let expertCache else { return }
    let ends = step.slotEnds.memory.integers
    let routed = step.routed
    let slots = usedSlots.filter { $0 < bank.slots.count }
    defer {
      step.routed = routed
      step.slotEnds.memory.copy(from: ends)
    }
    try expertCache.use(bank, slots: slots, parts: parts) { (ready) throws(ExecutionError) in
      for rows in runs(of: ready, ends) {
        step.routed = rows.count
        step.slotEnds.memory.copy(
          from: ends.map { min(max($0 - Int32(rows.lowerBound), 0), Int32(rows.count)) })
        let arguments = arguments(of: call, number, from: rows.lowerBound)
        do throws(BackendError) { try kernel.run(arguments, step) } catch {
          throw .backend(error)
        }
      }
    }
  }

  /// The rows of slots, those of neighbours together.
  private func runs(of slots: [Int], _ ends: [Int32]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for slot in slots {
      let rows = Int(slot > 0 ? ends[slot - 1] : 0)..<Int(ends[slot])
      if let last = runs.last, last.upperBound == rows.lowerBound {
        runs[runs.count - 1] = last.lowerBound..<rows.upperBound
      } else {
        runs.append(rows)
      }
    }
    return runs
  }

  /// The arguments of an operation for the routed rows from `first` on.
  private func arguments(of call: Call, _ number: Int, from first: Int) -> OpArguments {
    var arguments = call.arguments[number]
    if first == 0 { return arguments }
    let function = variants[call.function].function.function
    func moved(_ place: Memory, _ type: TensorType?) -> Memory {
      guard let type, RowKind(type) == .routed else { return place }
      let offset = 4 * first * type.elementsPerRow
      return place.part(from: offset, bytes: place.bytes - offset)
    }
    for (role, reference) in variants[call.function].references[number].enumerated() {
      guard case .value(let value)? = reference, let place = arguments.operands[role] else {
        continue
      }
      arguments.operands[role] = moved(place, function.values[value])
    }
    let results = function.operations[number].results
    for (index, value) in results.enumerated() {
      arguments.results[index] = moved(arguments.results[index], function.values[value])
    }
    return arguments
  }
}
