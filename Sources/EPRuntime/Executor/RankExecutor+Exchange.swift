internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

// Dispatch and combine: rows on their way to experts and back.
extension RankExecutor {
  private func routing(of operation: Operation) -> Reference {
    operation.operand("indices") ?? .value(-1)
  }

  private func operation(_ number: Int) -> Operation {
    variants[call.function].function.function.operations[number]
  }

  func dispatch(
    _ operation: Operation, _ number: Int, _ indices: TensorType, _ arguments: OpArguments
  ) throws(ExecutionError) -> Request? {
    guard let slots = call.slots, let chosen = arguments.operands[1] else { return nil }
    let (group, ranks) = members(operation)
    let kind = RowKind(indices)
    if slots.split != nil {
      return tellChoices(operation, number, chosen, step.count(kind) * indices.elementsPerRow)
    }
    let positions = step.positions(of: kind)
    var routing = unsafe Routing(
      indices: chosen.indices, positions: positions.indices, rows: step.count(kind),
      topK: indices.elementsPerRow, experts: operation.attributes.int("experts"), slots: slots,
      members: ranks.count)
    if ranks.count == 1 {
      routing.receivedCounts = routing.sentCounts
      routings[self.routing(of: operation)] = routing
      return try sendRows(number)
    }
    routings[self.routing(of: operation)] = routing
    pending = .dispatchCounts(operation: number)
    let own = slots.perRank
    return .exchange(
      Exchange(
        kind: .dispatch, group: group, members: ranks,
        sends: ranks.indices.map {
          routing.sentCounts.memory.elements(from: $0 * own, count: own)
        },
        receives: ranks.indices.map {
          routing.receivedCounts.memory.elements(from: $0 * own, count: own)
        }))
  }

  /// Where batches are split over replicas: tells all members how many rows there are for each
  /// expert.
  private func tellChoices(
    _ operation: Operation, _ number: Int, _ chosen: Memory, _ choices: Int
  ) -> Request {
    let (group, ranks) = members(operation)
    let experts = operation.attributes.int("experts")
    let counts = unsafe Routing.Counts(
      indices: chosen.indices, choices: choices, experts: experts, members: ranks.count)
    choiceCounts = counts
    pending = .dispatchChoices(operation: number)
    return .exchange(
      Exchange(
        kind: .dispatch, group: group, members: ranks,
        sends: ranks.map { _ in counts.own.memory },
        receives: ranks.indices.map {
          counts.all.memory.elements(from: $0 * experts, count: experts)
        }))
  }

  /// Knowing what all members have, splits the batch over replicas; every member finds the same.
  func splitBatch(_ number: Int) {
    let operation = self.operation(number)
    let function = variants[call.function].function.function
    guard let slots = call.slots, let split = slots.split, let counts = choiceCounts,
      let chosen = call.arguments[number].operands[1],
      let type = operation.operand("indices").flatMap({ function.type(of: $0) })
    else { return }
    let ranks = members(operation).ranks
    let sharing = BatchSharing(
      split, counts: counts.all.memory.integers, own: ranks.firstIndex(of: program.rank) ?? 0)
    choiceCounts = nil
    evenMost = sharing.evenMost
    routings[routing(of: operation)] = unsafe Routing(
      indices: chosen.indices, rows: step.count(RowKind(type)), topK: type.elementsPerRow,
      sharing: sharing, slots: slots, members: ranks.count)
  }

  /// Knowing what comes, checks that there is room for it and sends the rows.
  func sendRows(_ number: Int) throws(ExecutionError) -> Request? {
    let operation = self.operation(number)
    let arguments = call.arguments[number]
    let function = variants[call.function].function
    let key = routing(of: operation)
    guard var routing = routings[key], let slots = call.slots, let x = arguments.operands[0],
      let result = operation.results.first
    else { return nil }
    let (group, ranks) = members(operation)
    let ends = routing.orderReceived(members: ranks.count, slots: slots.perRank)
    routings[key] = routing
    step.routed = Int(ends.last ?? 0)
    batches.append(
      RoutedBatch(
        layer: call.layer, group: ranks[0], members: ranks.count, rows: step.routed,
        evenMost: ranks[0] == program.rank && slots.split != nil ? evenMost : nil))
    if step.routed > function.routedCapacity {
      throw .routedCapacity(
        rank: clusterRank, layer: call.layer, rows: step.routed, capacity: function.routedCapacity)
    }
    for (slot, end) in ends.enumerated() { unsafe step.slotEnds.memory.indices[slot] = end }
    try expectExperts(of: call)
    let width = function.function.values[result].elementsPerRow
    note(routing.sent, ranks, width) { $0.dispatchBytes += $1 }
    let count = routing.sentChoices.count
    let isLocal = ranks.count == 1
    if isLocal, let layer = call.fused[number], gathers(layer, of: call) {
      advance()
      return nil
    }
    if !isLocal, movesRows, arguments.operands[2] == nil {
      pending = .advance
      return .exchange(
        Exchange(
          kind: .dispatch, group: group, members: ranks,
          rows: ScatteredRows(
            width: width, x: x, rows: routing.sentRows.memory, sent: routing.sent,
            result: arguments.results[0], places: routing.order.memory,
            received: routing.received)))
    }
    // What stays on the rank is in its place already: received as sent.
    let packed =
      isLocal
      ? arguments.results[0].elements(from: 0, count: count * width)
      : sendScratch.take(bytes: 4 * count * width)
    var scales: Storage?
    if let weights = arguments.operands[2] {
      scales = Storage(routing.sentChoices.map { unsafe weights.reals[$0] })
    }
    withExtendedLifetime(scales) {
      device.pack(
        x, width: width, rows: routing.sentRows.memory, scales: scales?.memory, count: count,
        to: packed)
    }
    if isLocal {
      advance()
      return nil
    }
    pending = .dispatchRows(operation: number)
    return .exchange(
      Exchange(
        kind: .dispatch, group: group, members: ranks,
        sends: blocks(packed, routing.sent, width),
        receives: blocks(
          receiveScratch.take(bytes: 4 * step.routed * width), routing.received, width)))
  }

  func receiveRows(_ number: Int) {
    let operation = self.operation(number)
    guard let routing = routings[self.routing(of: operation)], let result = operation.results.first
    else { return }
    let width = variants[call.function].function.function.values[result].elementsPerRow
    device.unpack(
      receiveScratch.take(bytes: 4 * step.routed * width), width: width,
      places: routing.order.memory, count: step.routed, to: call.arguments[number].results[0])
  }

  func combine(
    _ operation: Operation, _ number: Int, _ type: TensorType, _ arguments: OpArguments
  ) throws(ExecutionError) -> Request? {
    guard let routing = routings[self.routing(of: operation)], let x = arguments.operands[0]
    else { return nil }
    let (group, ranks) = members(operation)
    if let experts = call.experts { expertCache?.release(experts.bank) }
    let width = type.elementsPerRow
    let count = routing.received.reduce(0, +)
    var counted = Traffic()
    for (rank, rows) in zip(ranks, routing.received) where rank != program.rank {
      counted.combineBytes += prepared.pool.exchangeBytes(rows: rows, width: width)
    }
    traffic[call.layer, default: Traffic()] += counted
    if ranks.count == 1 {
      var returned = x
      if let layer = call.fused[number], gathers(layer, of: call) {
        returned = receiveScratch.take(bytes: 4 * count * width)
        try runGathered(layer, of: call, sources: routing.sentRows.memory, to: returned)
      }
      addUp(number, returned)
      advance()
      return nil
    }
    pending = .combine(operation: number)
    let returned = receiveScratch.take(bytes: 4 * routing.sentChoices.count * width)
    if movesRows {
      return .exchange(
        Exchange(
          kind: .combine, group: group, members: ranks,
          rows: ScatteredRows(
            width: width, x: x, rows: routing.order.memory, sent: routing.received,
            result: returned, places: nil, received: routing.sent)))
    }
    let packed = sendScratch.take(bytes: 4 * count * width)
    device.pack(
      x, width: width, rows: routing.order.memory, scales: nil, count: count, to: packed)
    return .exchange(
      Exchange(
        kind: .combine, group: group, members: ranks,
        sends: blocks(packed, routing.received, width),
        receives: blocks(returned, routing.sent, width)))
  }

  /// Adds up what came back, which is what was received unless it is elsewhere.
  func addUp(_ number: Int, _ returned: Memory?) {
    let operation = self.operation(number)
    let arguments = call.arguments[number]
    let function = variants[call.function].function.function
    guard let routing = routings[self.routing(of: operation)],
      let indices = arguments.operands[1], let weights = arguments.operands[2],
      let type = operation.operand("indices").flatMap({ function.type(of: $0) })
    else { return }
    let width = function.values[operation.results[0]].elementsPerRow
    device.combine(
      Combination(
        returned: returned
          ?? receiveScratch.take(bytes: 4 * routing.sentChoices.count * width),
        places: routing.places.memory, indices: indices, weights: weights,
        identity: arguments.operands[3], experts: operation.attributes.int("experts"),
        isUnweighted: operation.attributes.flag("unweighted"), rows: step.count(RowKind(type)),
        topK: type.elementsPerRow, width: width), to: arguments.results[0], step)
  }

  private func note(
    _ rows: [Int], _ ranks: [Int], _ width: Int, _ add: (inout Traffic, Int) -> Void
  ) {
    var counted = Traffic()
    for (rank, rows) in zip(ranks, rows) {
      if rank == program.rank {
        counted.localRows += rows
      } else {
        counted.remoteRows += rows
        add(&counted, prepared.pool.exchangeBytes(rows: rows, width: width))
      }
    }
    traffic[call.layer, default: Traffic()] += counted
  }

  /// Consecutive blocks of so many rows each.
  private func blocks(_ all: Memory, _ rows: [Int], _ width: Int) -> [Memory] {
    var start = 0
    return rows.map { count in
      defer { start += count }
      return all.elements(from: start * width, count: count * width)
    }
  }
}
