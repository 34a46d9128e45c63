import EPIR
import EPModel
import EPPlan
import EPTestSupport

func isCollective(_ operation: Operation) -> Bool {
  switch operation.kind {
  case .allReduce, .allGather, .reduceScatter, .scatterRows: return true
  default: return false
  }
}

extension ShardedFunction {
  /// Takes an operation out; who read its result reads `replacement` instead.
  mutating func remove(_ number: Int, replacement: Reference?) {
    let results = function.operations[number].results
    function.operations.remove(at: number)
    streams.remove(at: number)
    waits.remove(at: number)
    waits = waits.map { $0.filter { $0 != number }.map { $0 > number ? $0 - 1 : $0 } }
    guard let replacement, case .value(let value) = replacement, results.count == 1 else { return }
    for index in function.operations.indices {
      for operand in function.operations[index].operands.indices
      where function.operations[index].operands[operand].reference == .value(results[0]) {
        function.operations[index].operands[operand].reference = replacement
      }
    }
    for index in function.results.indices where function.results[index].value == results[0] {
      function.results[index].value = value
    }
  }
}

extension Mutation {
  static var schedules: [Mutation] {
    [
      .schedule("drop a wait") { function, random in
        let waiting = function.waits.indices.filter { !function.waits[$0].isEmpty }
        guard !waiting.isEmpty else { return false }
        let number = random.pick(waiting)
        function.waits[number].remove(at: random.below(function.waits[number].count))
        return true
      },
      .schedule("drop all waits") { function, _ in
        let before = function.waits
        function.waits = before.map { _ in [] }
        return function.waits != before
      },
      .schedule("wait for an earlier operation instead") { function, random in
        let waiting = function.waits.indices.filter { (function.waits[$0].first ?? 0) > 0 }
        guard !waiting.isEmpty else { return false }
        function.waits[random.pick(waiting)][0] -= 1
        return true
      },
      .schedule("shift a buffer") { function, random in
        guard !function.buffers.isEmpty else { return false }
        let value = random.below(function.buffers.count)
        let shift = 256 * (1 + random.below(64)) * (random.once(in: 2) ? 1 : -1)
        function.buffers[value].offset += shift
        return function.buffers[value].offset >= 0
      },
      .schedule("put a buffer where another is") { function, random in
        guard function.buffers.count > 1 else { return false }
        let value = random.below(function.buffers.count)
        let other = random.below(function.buffers.count)
        let before = function.buffers[value].offset
        function.buffers[value].offset = function.buffers[other].offset
        return function.buffers[value].offset != before
      },
      .schedule("swap neighbouring operations") { function, random in
        guard function.function.operations.count > 1 else { return false }
        let first = random.below(function.function.operations.count - 1)
        function.function.operations.swapAt(first, first + 1)
        return true
      },
    ]
  }

  static var functions: [Mutation] {
    [
      .function("wait for a later operation") { function, _, random in
        guard function.waits.count > 1 else { return false }
        let number = random.below(function.waits.count - 1)
        function.waits[number].append(number + 1)
        return true
      },
      .function("put a buffer off its alignment") { function, _, random in
        guard !function.buffers.isEmpty else { return false }
        function.buffers[random.below(function.buffers.count)].offset += 1 + random.below(255)
        return true
      },
      .function("shrink a buffer") { function, pool, random in
        guard !function.buffers.isEmpty else { return false }
        let value = random.below(function.buffers.count)
        let type = function.function.values[value]
        let rows: Int =
          switch type.axes.first {
          case .some(.tokens): pool.batchTokens
          case .some(.ownTokens): (pool.batchTokens + pool.mesh.tp - 1) / pool.mesh.tp
          case .some(.routed): function.routedCapacity
          default: 1
          }
        let bits = type.element == .index ? 32 : Int(pool.activations.bitsPerElement)
        let need = type.axes.reduce(rows) { $0 * ($1.size ?? 1) } * bits / 8
        guard need > 0 else { return false }
        function.buffers[value].bytes = need - 1 - random.below(need)
        return true
      },
      .function("run on the other stream") { function, _, random in
        guard !function.streams.isEmpty else { return false }
        let number = random.below(function.streams.count)
        function.streams[number] = function.streams[number] == .compute ? .communication : .compute
        return true
      },
      .function("remove a collective, readers read what it read") { function, _, random in
        let numbers = function.function.operations.indices.filter {
          isCollective(function.function.operations[$0])
        }
        guard !numbers.isEmpty else { return false }
        let number = random.pick(numbers)
        function.remove(number, replacement: function.function.operations[number].operand("x"))
        return true
      },
      .function("remove an operation") { function, _, random in
        guard !function.function.operations.isEmpty else { return false }
        let number = random.below(function.function.operations.count)
        let operation = function.function.operations[number]
        function.remove(
          number, replacement: operation.operand("x") ?? operation.operands.first?.reference)
        return true
      },
      .function("reduce twice") { function, _, random in
        let numbers = function.function.operations.indices.filter {
          function.function.operations[$0].kind == .allReduce
        }
        guard !numbers.isEmpty else { return false }
        let number = random.pick(numbers)
        var again = function.function.operations[number]
        let result = again.results[0]
        function.function.values.append(function.function.values[result])
        function.buffers.append(
          ShardedFunction.Buffer(
            offset: (function.arenaBytes + 255) / 256 * 256, bytes: function.buffers[result].bytes))
        let fresh = function.function.values.count - 1
        function.remove(number, replacement: .value(fresh))
        again.results = [result]
        var second = again
        second.operands[0].reference = .value(result)
        second.results = [fresh]
        function.function.operations.insert(contentsOf: [again, second], at: number)
        function.streams.insert(contentsOf: [.communication, .communication], at: number)
        function.waits = function.waits.map { $0.map { $0 >= number ? $0 + 2 : $0 } }
        let all = Array(0..<number)
        function.waits.insert(contentsOf: [all, []], at: number)
        for later in (number + 2)..<function.waits.count {
          function.waits[later].append(number + 1)
        }
        return true
      },
      .function("change a cache's parts") { function, _, random in
        guard !function.cacheParts.isEmpty else { return false }
        function.cacheParts[random.below(function.cacheParts.count)] += 1 + random.below(3)
        return true
      },
      .function("change a cache") { function, _, random in
        guard !function.function.caches.isEmpty else { return false }
        let index = random.below(function.function.caches.count)
        switch random.below(4) {
        case 0: function.function.caches[index].name += "x"
        case 1:
          function.function.caches[index].window = (function.function.caches[index].window ?? 0) + 7
        case 2: function.function.caches[index].parts[0][0].size? += 1
        default: function.function.caches[index].parts.append([Axis("more", 2)])
        }
        return true
      },
      .function("change a type") { function, _, random in
        guard !function.function.values.isEmpty else { return false }
        let value = random.below(function.function.values.count)
        let last = function.function.values[value].axes.count - 1
        switch random.below(3) {
        case 0 where function.function.values[value].axes[last].size != nil:
          function.function.values[value].axes[last].size? += 1
        case 1: function.function.values[value].axes[last].name += "x"
        default:
          function.function.values[value].element =
            function.function.values[value].element == .real ? .index : .real
        }
        return true
      },
      .function("return another value") { function, _, random in
        guard !function.function.results.isEmpty, function.function.values.count > 1 else {
          return false
        }
        let port = random.below(function.function.results.count)
        let value = random.below(function.function.values.count)
        if value == function.function.results[port].value { return false }
        function.function.results[port].value = value
        return true
      },
      .function("rename a port") { function, _, random in
        if !function.function.results.isEmpty && random.once(in: 2) {
          function.function.results[0].name += "x"
        } else if !function.function.parameters.isEmpty {
          function.function.parameters[0].name += "x"
        } else {
          return false
        }
        return true
      },
      .function("drop a result") { function, _, _ in
        if function.function.results.isEmpty { return false }
        function.function.results.removeLast()
        return true
      },
      .function("rename a function") { function, _, _ in
        if function.function.operations.contains(where: { $0.kind == .send || $0.kind == .receive })
        {
          return false
        }
        function.function.name += "x"
        return true
      },
      .function("take fewer routed rows than an even share") { function, _, _ in
        guard function.function.operations.contains(where: { $0.kind == .dispatch }) else {
          return false
        }
        function.routedCapacity = 1
        return true
      },
    ]
  }
}
