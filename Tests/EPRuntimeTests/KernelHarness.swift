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

  /// What the reference makes: reals, or indices as reals. The fast kernels of all levels and several
  /// threads must make nearly the same.
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
    let states = caches.map { $0.snapshot() }
    let made = try execute(operation, in: function, types, firstRow, on: ReferenceDevice())
    let after = caches.map { $0.snapshot() }
    for level in CPULevel.allCases where level <= .best {
      for (cache, state) in zip(caches, states) { cache.restore(state) }
      let device = CPUDevice(threads: 1 + level.rawValue.utf8.count % 3, level: level)
      let fast = try execute(operation, in: function, types, firstRow, on: device)
      for (a, b) in zip(made, fast) {
        #expect(near(b, a.map(Double.init), 2e-5), "\(kind) on \(level)")
      }
      for (cache, state) in zip(caches, after) {
        for (a, b) in zip(cache.snapshot().joined(), state.joined()) {
          #expect(near(a.memory.values, b.memory.values.map(Double.init), 2e-5), "\(kind)'s state")
        }
      }
    }
    for (cache, state) in zip(caches, after) { cache.restore(state) }
    return made
  }

  private func execute<D: Device>(
    _ operation: Operation, in function: Function, _ types: [TensorType], _ firstRow: Int,
    on device: D
  ) throws -> [[Float]] {
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
    var prepared: [Storage] = []
    var arguments = OpArguments(operands: [], results: results.map(\.memory))
    for (index, (role, reference)) in zip(roles(of: operation), operation.references).enumerated() {
      switch reference {
      case .value?:
        arguments.operands.append(memories[role]?[next[role, default: 0]].memory)
        next[role, default: 0] += 1
      case .weight?:
        var memory = memories[role]?[next[role, default: 0]].memory
        next[role, default: 0] += 1
        if let reals = memory, let form = device.form(ofOperand: index, of: kernel) {
          let matrices = reals.bytes / 4 / form.elements
          let storage = Storage(bytes: matrices * form.bytes)
          for matrix in 0..<matrices {
            device.prepare(
              reals: reals.elements(from: matrix * form.elements, count: form.elements), as: form,
              to: storage.memory.part(from: matrix * form.bytes, bytes: form.bytes))
          }
          prepared.append(storage)
          memory = storage.memory
        }
        arguments.operands.append(memory)
      case .cache?:
        arguments.operands.append(nil)
        arguments.cache = 0
      case nil: arguments.operands.append(nil)
      }
    }
    arguments.firstRow = firstRow
    return try withExtendedLifetime((memories, results, prepared)) {
      try device.run(kernel, arguments, step)
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

extension Memory {
  /// The elements as reals.
  var values: [Float] { (0..<(bytes / 4)).map { unsafe reals[$0] } }
}
