internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

// A walk through the calls: what goes into one, its operations, and what comes out.
extension RankExecutor {
  func place(of value: Int, in function: Int) -> Memory {
    let variant = variants[function]
    return arena.memory.part(from: variant.offsets[value], bytes: variant.sizes[value])
  }

  /// Puts the parameters of a call where it wants them.
  func enter(_ call: Call) {
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

  func leave(_ call: Call) {
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
    (issued, hasEntered) = (0, false)
  }

  /// Ends the operation being run.
  func advance() {
    if runner != nil {
      pending = .nothing
      return
    }
    end(issues[issueIndex])
    issueIndex += 1 + ahead
    ahead = 0
    pending = .nothing
  }

  /// Notes that an operation of the selected micro-batch has run.
  func end(_ issue: Issue) {
    let call = calls[issue.call]
    if let observer {
      let number = issue.operation
      let operations = variants[call.function].function.function.operations
      observer(observation(call, number, operations[number].results.map { ("", $0) }))
    }
    issued += 1
    if issued == call.arguments.count { leave(call) }
  }

  /// The part of a place that the step's rows fill.
  func filled(_ place: Memory, _ type: TensorType) -> Memory {
    place.elements(from: 0, count: step.count(RowKind(type)) * type.elementsPerRow)
  }

  /// The call being run.
  var call: Call { calls[issues[issueIndex].call] }

  func run(_ number: Int, of call: Call) throws(ExecutionError) -> Request? {
    if try runKernel(number, of: call) {
      advance()
      return nil
    }
    let operation = variants[call.function].function.function.operations[number]
    return try meet(operation, number, call.arguments[number])
  }

  /// Runs an operation of the selected micro-batch; false where ranks meet in it.
  func runKernel(_ number: Int, of call: Call) throws(ExecutionError) -> Bool {
    guard call.kernels.indices.contains(number), let kernel = call.kernels[number] else {
      return false
    }
    if let layer = call.fused[number] {
      try runPart(number, layer, of: call)
    } else if let experts = call.experts, let parts = experts.parts[number] {
      try run(kernel, number, of: call, experts.bank, parts)
    } else {
      do { try kernel.run(call.arguments[number], step) } catch { throw .backend(error) }
    }
    return true
  }

  /// A result of the last call of the step, by name, with its rows; nil where it made none.
  func output(_ name: String) -> (place: Memory, type: TensorType)? {
    outputs[name].map { (filled($0.place, $0.type), $0.type) }
  }
}
