import EPBackend
import EPBackendCPU
import EPModel
import Testing

/// Runs one operation on the CPU device as the executor does.
struct KernelHarness {
  enum Values {
    case reals([Float])
    case indices([Int32])
  }

  private var function = Function("test")
  private var operands: [Operand] = []
  private var memories: [String: [Storage]] = [:]
  /// Sequences of the step: how many rows each has, and where it starts.
  var sequences: [(rows: Int, position: Int)] = [(0, 0)]
  /// Rows of each slot, for operations of experts.
  var slots: [Int] = []
  var cacheEntries: [CacheDeclaration] = []
  var caches: [SequenceCache] = []

  init(sequences: [(rows: Int, position: Int)], caches: [CacheDeclaration] = []) {
    self.sequences = sequences
    cacheEntries = caches
    self.caches = sequences.map { _ in SequenceCache(caches) }
    function.caches = caches
    if !caches.isEmpty { operands.append(Operand("cache", .cache(0))) }
  }

  mutating func value(_ role: String, _ axes: [Axis], _ values: [Float]) {
    function.values.append(TensorType(axes))
    operands.append(Operand(role, .value(function.values.count - 1)))
    memories[role, default: []].append(Storage(values))
  }

  mutating func value(_ role: String, _ axes: [Axis], indices: [Int32]) {
    function.values.append(TensorType(axes, element: .index))
    operands.append(Operand(role, .value(function.values.count - 1)))
    memories[role, default: []].append(Storage(indices))
  }

  mutating func weight(_ role: String, _ axes: [Axis], _ values: [Float]) {
    function.weights.append(WeightDeclaration(role, axes: axes, role: .vector, stored: []))
    operands.append(Operand(role, .weight(function.weights.count - 1)))
    memories[role, default: []].append(Storage(values))
  }

  /// What the operation makes: reals, or indices as reals.
  func run(_ kind: OpKind, _ attributes: Attributes = Attributes(), firstRow: Int = 0) throws
    -> [[Float]]
  {
    var function = self.function
    var operation = Operation(
      kind, operands, attributes: attributes,
      results: Array(0..<kind.specification.resultCount))
    try operation.checkForm()
    let types = try operation.inferResults(in: function)
    operation.results = types.map {
      function.values.append($0)
      return function.values.count - 1
    }
    let device = ReferenceDevice()
    let kernel = try device.makeKernel(OpDescription(operation, in: function))
    let step = StepState(tokens: sequences.reduce(0) { $0 + $1.rows }, slots: max(slots.count, 1))
    var row = 0
    var spans: [SequenceSpan] = []
    for (sequence, cache) in zip(sequences, caches) {
      cache.reserve(sequence.position + sequence.rows)
      spans.append(
        SequenceSpan(
          rows: row..<(row + sequence.rows), firstPosition: sequence.position, cache: cache))
      row += sequence.rows
    }
    step.begin(spans, own: 0..<row, sampled: Array(0..<row))
    step.routed = slots.reduce(0, +)
    var end: Int32 = 0
    for (slot, rows) in slots.enumerated() {
      end += Int32(rows)
      unsafe step.slotEnds.memory.indices[slot] = end
    }
    let results = types.map { Storage(bytes: 4 * step.count(RowKind($0)) * $0.elementsPerRow) }
    var next: [String: Int] = [:]
    var arguments = OpArguments(operands: [], results: results.map(\.memory))
    for (role, reference) in zip(roles(of: operation), operation.references) {
      switch reference {
      case .value?, .weight?:
        arguments.operands.append(memories[role]?[next[role, default: 0]].memory)
        next[role, default: 0] += 1
      case .cache?:
        arguments.operands.append(nil)
        arguments.cache = 0
      case nil: arguments.operands.append(nil)
      }
    }
    arguments.firstRow = firstRow
    return withExtendedLifetime((memories, results)) {
      device.run(kernel, arguments, step)
      return zip(types, results).map { type, storage in
        (0..<(storage.memory.bytes / 4)).map {
          unsafe type.element == .index
            ? Float(storage.memory.indices[$0]) : storage.memory.reals[$0]
        }
      }
    }
  }

  private func roles(of operation: Operation) -> [String] {
    operation.kind.specification.roles.flatMap { role -> [String] in
      if case .repeated = role.presence {
        return operation.operands(role.name).map { _ in role.name }
      }
      return [role.name]
    }
  }
}

/// Reproducible numbers of about 1.
func numbers(_ count: Int, _ seed: Int = 1) -> [Float] {
  var random = SmallGenerator(seed)
  return (0..<count).map { _ in Float.random(in: -1.5...1.5, using: &random) }
}

/// Whether two lists agree to float precision.
func near(_ a: [Float], _ b: [Double], _ bound: Double = 2e-6) -> Bool {
  a.count == b.count
    && zip(a, b).allSatisfy { abs(Double($0) - $1) <= bound * max(1, abs($1)) }
}
