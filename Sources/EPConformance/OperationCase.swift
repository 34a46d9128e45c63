internal import EPBackend
internal import EPBackendCPU
internal import EPModel

/// One operation with all that it reads.
struct OperationCase {
  /// Numbers of one operand.
  enum Numbers {
    case reals([Float])
    case indices([Int32])

    var storage: Storage {
      switch self {
      case .reals(let values): return Storage(values)
      case .indices(let values): return Storage(values)
      }
    }
  }

  private struct Given {
    var reference: Reference
    var numbers: Numbers
  }

  let kind: OpKind
  var attributes: Attributes
  /// The sequences of the step: rows, and the position of the first.
  var sequences: [(rows: Int, position: Int)]
  /// Rows of each slot for experts.
  var slots: [Int] = []
  /// The row of the whole table that the given one begins with.
  var firstRow = 0
  private var function = Function("case")
  private var operands: [Operand] = []
  private var given: [Given] = []
  /// What the cache holds of each sequence, by part.
  private var cached: [[[Float]]] = []

  init(_ kind: OpKind, _ attributes: Attributes, sequences: [(rows: Int, position: Int)]) {
    self.kind = kind
    self.attributes = attributes
    self.sequences = sequences
  }

  /// Tokens of the step.
  var tokens: Int { sequences.reduce(0) { $0 + $1.rows } }

  /// The case in a few words.
  var summary: String {
    let types = operands.map { operand in
      let type = function.type(of: operand.reference).map(\.description) ?? "cache"
      return "\(operand.role) \(type)"
    }
    return types.joined(separator: ", ") + ", \(tokens) tokens"
  }

  mutating func value(_ role: String, _ axes: [Axis], _ numbers: Numbers) {
    if case .indices = numbers {
      function.values.append(TensorType(axes, element: .index))
    } else {
      function.values.append(TensorType(axes))
    }
    add(role, .value(function.values.count - 1), numbers)
  }

  mutating func weight(
    _ role: String, _ axes: [Axis], _ values: [Float], as use: WeightDeclaration.Role = .vector
  ) {
    function.weights.append(WeightDeclaration(role, axes: axes, role: use, stored: []))
    add(role, .weight(function.weights.count - 1), .reals(values))
  }

  private mutating func add(_ role: String, _ reference: Reference, _ numbers: Numbers) {
    operands.append(Operand(role, reference))
    given.append(Given(reference: reference, numbers: numbers))
  }

  /// Adds a cache that holds random entries before each sequence's position.
  mutating func cache(
    _ kind: CacheDeclaration.Kind, _ parts: [[Axis]], _ random: inout ConformanceRandom
  ) {
    let declaration = CacheDeclaration("cache", kind: kind, parts: parts)
    function.caches = [declaration]
    operands.append(Operand("cache", .cache(0)))
    for sequence in sequences {
      let entries = kind.growsWithContext ? sequence.position : 1
      cached.append(
        parts.map { random.reals(TensorType($0).elementsPerRow * entries, in: -1...1) })
    }
  }

  /// What a device makes: results, then all that caches hold of the sequences.
  struct Made {
    var results: [[Float]]
    var types: [TensorType]
    var caches: [Float]
  }

  private static let guardBytes = 64
  private static let guardByte: UInt8 = 0xA7

  /// Runs the operation on a device as the executor does.
  func run<D: Device>(_ device: D) throws(ConformanceError) -> Made {
    var function = self.function
    var operation = Operation(
      kind, operands, attributes: attributes,
      results: Array(0..<kind.specification.resultCount))
    let types: [TensorType]
    do throws(OpError) {
      try operation.checkForm()
      types = try operation.inferResults(in: function)
    } catch { throw .other("the case is not well-formed: \(error)") }
    operation.results = types.map {
      function.values.append($0)
      return function.values.count - 1
    }
    let description = OpDescription(operation, in: function)
    let kernel: D.Kernel
    do throws(BackendError) { kernel = try device.makeKernel(description) } catch {
      throw .backend(error)
    }
    let caches = sequences.map { _ in SequenceCache(function.caches) }
    let step = makeStep(caches)
    let results = types.map { type in
      OperationCase.guarded(bytes: 4 * step.count(RowKind(type)) * type.elementsPerRow)
    }
    var storages: [Storage] = []
    var arguments = OpArguments(
      operands: [], results: results.map { OperationCase.inside($0) }, firstRow: firstRow)
    for (place, reference) in operation.references.enumerated() {
      guard let reference else {
        arguments.operands.append(nil)
        continue
      }
      guard let numbers = given.first(where: { $0.reference == reference })?.numbers else {
        arguments.operands.append(nil)
        arguments.cache = 0
        continue
      }
      var storage = numbers.storage
      if case .weight = reference, let form = device.form(ofOperand: place, of: kernel) {
        storage = OperationCase.prepared(storage, as: form, device)
      }
      storages.append(storage)
      arguments.operands.append(storage.memory)
    }
    return try withExtendedLifetime((storages, results)) { () throws(ConformanceError) in
      let before = storages.map(\.memory.bytesCopied)
      do throws(BackendError) { try device.run(kernel, arguments, step) } catch {
        throw .backend(error)
      }
      for result in results where !OperationCase.isIntact(result) {
        throw .other("it writes outside its result")
      }
      if storages.map(\.memory.bytesCopied) != before { throw .other("it changes its operands") }
      return Made(
        results: zip(types, arguments.results).map { type, place in
          type.element == .index ? place.wholeNumbers.map { Float($0) } : place.numbers
        }, types: types, caches: held(caches))
    }
  }

  private func makeStep(_ caches: [SequenceCache]) -> StepState {
    let step = StepState(tokens: tokens, slots: max(slots.count, 1))
    var row = 0
    var spans: [SequenceSpan] = []
    for (index, sequence) in sequences.enumerated() {
      let cache = caches[index]
      cache.reserve(sequence.position + sequence.rows)
      if !cached.isEmpty {
        for (part, values) in cached[index].enumerated() {
          cache.entries[0].parts[part].memory.copy(from: values)
        }
      }
      spans.append(
        SequenceSpan(
          rows: row..<(row + sequence.rows), firstPosition: sequence.position, cache: cache))
      row += sequence.rows
    }
    step.begin(spans, own: 0..<row, sampled: Array(0..<row))
    step.routed = slots.reduce(0, +)
    var end: Int32 = 0
    step.slotEnds.memory.copy(
      from: slots.map { rows -> Int32 in
        end += Int32(rows)
        return end
      })
    return step
  }

  /// What caches hold up to and with the step's rows.
  private func held(_ caches: [SequenceCache]) -> [Float] {
    zip(sequences, caches).flatMap { sequence, cache in
      cache.entries.flatMap { entry in
        entry.parts.enumerated().flatMap { part, storage in
          let entries = entry.kind.growsWithContext ? sequence.position + sequence.rows : 1
          return storage.memory.elements(from: 0, count: entry.widths[part] * entries).numbers
        }
      }
    }
  }

  private static func prepared<D: Device>(
    _ reals: Storage, as form: WeightForm, _ device: D
  ) -> Storage {
    let matrices = reals.memory.bytes / 4 / max(form.elements, 1)
    let storage = Storage(bytes: matrices * form.bytes)
    for matrix in 0..<matrices {
      device.prepare(
        reals: reals.memory.elements(from: matrix * form.elements, count: form.elements),
        as: form,
        to: storage.memory.part(from: matrix * form.bytes, bytes: form.bytes))
    }
    return storage
  }

  // MARK: Places with guards around them

  /// Room for a result that is not a number yet, with known bytes on both sides.
  private static func guarded(bytes: Int) -> Storage {
    let storage = Storage(bytes: bytes + 2 * guardBytes)
    storage.memory.fill(guardByte)
    inside(storage).copy(from: Array(repeating: Float.nan, count: bytes / 4))
    return storage
  }

  private static func inside(_ storage: Storage) -> Memory {
    storage.memory.part(from: guardBytes, bytes: storage.memory.bytes - 2 * guardBytes)
  }

  private static func isIntact(_ storage: Storage) -> Bool {
    let bytes = storage.memory.bytesCopied
    return (bytes.prefix(guardBytes) + bytes.suffix(guardBytes)).allSatisfy { $0 == guardByte }
  }
}

extension Memory {
  /// A copy of the bytes.
  fileprivate var bytesCopied: [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: UnsafeRawPointer(base), count: bytes))
  }

  /// Sets all bytes.
  fileprivate func fill(_ byte: UInt8) {
    unsafe base.initializeMemory(as: UInt8.self, repeating: byte, count: bytes)
  }

  /// The elements as reals.
  fileprivate var numbers: [Float] {
    unsafe Array(UnsafeBufferPointer(start: UnsafePointer(reals), count: bytes / 4))
  }

  /// The elements as indices.
  fileprivate var wholeNumbers: [Int32] {
    unsafe Array(UnsafeBufferPointer(start: UnsafePointer(indices), count: bytes / 4))
  }
}
