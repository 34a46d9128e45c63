internal import EPBackend
internal import EPModel
internal import EPPlan

extension Issue {
  /// All operations of some calls, in the order that schedules give them.
  ///
  /// Layers of one function that has a schedule follow each other a period apart, micro-batches
  /// interleaved as their operations start; other calls run for one micro-batch after the other. Lots
  /// of a pipeline follow each other. Every rank of a pool finds the same order, so that ranks meet in
  /// it.
  static func order(
    of calls: [(index: Int, function: Int)], functions: [ShardedFunction], microBatches: Int,
    lots: Int = 1
  ) -> [Issue] {
    let one = lot(of: calls, functions: functions, microBatches: microBatches)
    return (0..<lots).flatMap { lot in
      one.map {
        Issue(batch: lot * microBatches + $0.batch, call: $0.call, operation: $0.operation)
      }
    }
  }

  /// The same for one lot.
  private static func lot(
    of calls: [(index: Int, function: Int)], functions: [ShardedFunction], microBatches: Int
  ) -> [Issue] {
    var order: [Issue] = []
    var first = 0
    while first < calls.count {
      let function = functions[calls[first].function]
      var end = first + 1
      if let schedule = function.schedule {
        while end < calls.count && calls[end].function == calls[first].function { end += 1 }
        let layers = calls[first..<end].map(\.index)
        order += interleaved(layers, function, schedule)
      } else {
        // A function without operations takes its turn too, with none.
        let operations = function.issueOrder.isEmpty ? [0] : function.issueOrder
        for batch in 0..<microBatches {
          order += operations.map { Issue(batch: batch, call: calls[first].index, operation: $0) }
        }
      }
      first = end
    }
    return order
  }

  /// The layers of a scheduled function: of each micro-batch's next operations the one that starts
  /// first; one that reads a sequence's state after that of the micro-batch before.
  private static func interleaved(
    _ layers: [Int], _ sharded: ShardedFunction, _ schedule: LayerSchedule
  ) -> [Issue] {
    let starts = schedule.starts(of: sharded.function)
    let keepsState = sharded.function.operations.map { operation in
      operation.operands.contains { if case .cache = $0.reference { true } else { false } }
    }
    let count = schedule.order.count
    var next = Array(repeating: 0, count: schedule.microBatches)
    var order: [Issue] = []
    while order.count < count * layers.count * schedule.microBatches {
      var chosen = -1
      var earliest = Int.max
      for batch in next.indices where next[batch] < count * layers.count {
        let operation = schedule.order[next[batch] % count]
        if keepsState[operation] && batch > 0 && next[batch - 1] <= next[batch] { continue }
        let start = starts[batch][operation] + next[batch] / count * schedule.period
        if start < earliest { (chosen, earliest) = (batch, start) }
      }
      let place = next[chosen]
      order.append(
        Issue(batch: chosen, call: layers[place / count], operation: schedule.order[place % count]))
      next[chosen] += 1
    }
    return order
  }
}
