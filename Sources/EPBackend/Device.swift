public import EPModel

/// Something that runs operations on memory of its own.
///
/// A backend that only has kernels implements this and gets the executor. What it computes must
/// equal the reference kernels within the bound of its number format; the operations are described
/// in docs/ops.md.
public protocol Device: Sendable {
  /// An operation made ready: shapes, constants and tables that do not change from step to step.
  associatedtype Kernel: Sendable

  /// The name, as reports show it.
  var name: String { get }

  /// Whether the device takes whole programs of ranks, rather than operation after operation.
  var runsPrograms: Bool { get }

  /// Makes a rank's program ready; only asked where `runsPrograms`.
  ///
  /// - Throws: `BackendError.unsupported` where the device cannot run it.
  func makeRunner(_ program: PlacedProgram) throws(BackendError) -> any RankRunner

  /// Makes an operation ready.
  ///
  /// - Throws: `BackendError.unsupported` where the device cannot run it.
  func makeKernel(_ operation: OpDescription) throws(BackendError) -> Kernel

  /// The form that a kernel wants a weight in, by its place among the operands; nil for plain reals,
  /// which is what a device that does not say gets.
  func form(ofOperand operand: Int, of kernel: Kernel) -> WeightForm?

  /// Makes rows of one matrix of a weight ready. Several threads do that at once, for different rows.
  ///
  /// - Parameters:
  ///   - part: the rows, as they are stored.
  ///   - rows: which rows those are: from a multiple of `WeightForm.rowsTogether` on, and up to another
  ///     or the last.
  ///   - result: the whole matrix.
  /// - Returns: false where an element is a NaN or an infinity.
  func prepare(
    _ part: EncodedRows, rows: Range<Int>, as form: WeightForm, to result: Memory
  ) -> Bool

  /// Takes memory of the device, zero at first.
  func allocate(bytes: Int) -> Storage

  /// Runs an operation on the rows of a step.
  ///
  /// - Throws: `BackendError.failed` where the device gives up.
  func run(_ kernel: Kernel, _ arguments: OpArguments, _ step: StepState) throws(BackendError)

  /// Whether the device runs a layer of routed experts as one operation.
  func fuses(_ layer: ExpertLayer<Kernel>) -> Bool

  /// Runs a layer of routed experts: the routed rows of the step, one after the other. Only asked for layers
  /// that it fuses. What the operations make for each other is not looked at.
  ///
  /// - Parameters:
  ///   - x: the rows that they are gathered from.
  ///   - sources: which of them each routed row is; nil where `x` has the routed rows in order. The result
  ///     may then lie on them.
  func run(
    _ layer: ExpertLayer<Kernel>, _ arguments: ExpertLayer<OpArguments>, x: Memory,
    sources: Memory?, to result: Memory, _ step: StepState
  ) throws(BackendError)

  /// `result[i] = x[rows[i]]` for rows of `width` reals, times `scales[i]` if given.
  func pack(
    _ x: Memory, width: Int, rows: Memory, scales: Memory?, count: Int, to result: Memory)

  /// `result[places[i]] = x[i]` for rows of `width` reals.
  func unpack(_ x: Memory, width: Int, places: Memory, count: Int, to result: Memory)

  /// The sum of `blocks` arrays of `count` reals that lie one after the other.
  func sum(_ x: Memory, blocks: Int, count: Int, to result: Memory)

  /// The weighted sum over each row's experts of what came back from them.
  func combine(_ combination: Combination, to result: Memory, _ step: StepState)

  /// Copies `count` elements of 4 bytes from each of `outer` blocks.
  func copy(
    _ x: Memory, stride: Int, to result: Memory, resultStride: Int, count: Int, outer: Int)
}

extension Device {
  /// Operation after operation, unless a device says otherwise.
  public var runsPrograms: Bool { false }

  /// A device that does not run programs is never asked.
  public func makeRunner(_ program: PlacedProgram) throws(BackendError) -> any RankRunner {
    preconditionFailure("'\(name)' runs no programs")
  }
}

/// What `Device.combine` sums.
public struct Combination: Sendable {
  /// Rows that came back, in the order they were sent.
  public var returned: Memory
  /// Which of those belongs to each (row, choice), `[rows, topK]`.
  public var places: Memory
  /// The experts, `[rows, topK]`, -1 for none.
  public var indices: Memory
  /// Their weights, `[rows, topK]`.
  public var weights: Memory
  /// What experts numbered from `experts` on return, `[rows, width]`.
  public var identity: Memory?
  /// Experts that have weights.
  public var experts: Int
  /// Whether weights have been applied already.
  public var isUnweighted: Bool
  /// Rows.
  public var rows: Int
  /// Choices of a row.
  public var topK: Int
  /// Reals of a row.
  public var width: Int

  /// Makes a description.
  public init(
    returned: Memory, places: Memory, indices: Memory, weights: Memory, identity: Memory?,
    experts: Int, isUnweighted: Bool, rows: Int, topK: Int, width: Int
  ) {
    self.returned = returned
    self.places = places
    self.indices = indices
    self.weights = weights
    self.identity = identity
    self.experts = experts
    self.isUnweighted = isUnweighted
    self.rows = rows
    self.topK = topK
    self.width = width
  }
}

/// An operation with the types of everything it reads and makes.
public struct OpDescription: Sendable {
  /// What it does.
  public var kind: OpKind
  /// Its constants.
  public var attributes: Attributes
  /// The type of the operand in each role of the specification, in its order; nil where absent,
  /// and for caches. A role that repeats takes as many places as it has operands.
  public var operands: [TensorType?]
  /// What each operand that is a weight is for, in the same places; nil for others.
  public var weightRoles: [WeightDeclaration.Role?]
  /// The types of what it makes.
  public var results: [TensorType]
  /// Slots for experts of the rank; 0 where the operation has nothing to do with experts.
  public var slots: Int

  /// Describes an operation of a function.
  public init(_ operation: Operation, in function: Function) {
    kind = operation.kind
    attributes = operation.attributes
    operands = operation.references.map { $0.flatMap { function.type(of: $0) } }
    weightRoles = operation.references.map { reference in
      guard case .weight(let index)? = reference else { return nil }
      return function.weights[index].role
    }
    results = operation.results.map { function.values[$0] }
    slots = 0
    for case .weight(let index)? in operation.references {
      if let first = function.weights[index].axes.first, first.split == .expert {
        slots = first.size ?? 0
      }
    }
  }
}

extension Operation {
  /// What stands in each role of the specification, in its order; a role that repeats takes as
  /// many places as it has operands.
  public var references: [Reference?] {
    kind.specification.roles.flatMap { role -> [Reference?] in
      if case .repeated = role.presence { return operands(role.name).map { $0 } }
      return [operand(role.name)]
    }
  }
}

/// Where an operation's operands and results are on one rank.
public struct OpArguments: Sendable {
  /// The place of each operand of `OpDescription.operands`; nil where absent, and for caches.
  public var operands: [Memory?]
  /// The place of each result.
  public var results: [Memory]
  /// The cache, as an index into `SequenceCache.entries`, or -1.
  public var cache: Int
  /// The row of the whole table that the rank's part begins with, for `embed`.
  public var firstRow: Int

  /// Makes arguments.
  public init(operands: [Memory?], results: [Memory], cache: Int = -1, firstRow: Int = 0) {
    self.operands = operands
    self.results = results
    self.cache = cache
    self.firstRow = firstRow
  }
}

/// Why a backend cannot do what is asked of it.
public enum BackendError: Error, Hashable, Sendable {
  /// The device has no such operation, or not with these attributes.
  case unsupported(operation: String, reason: String)
  /// A collective can never complete: ranks that should meet do something else.
  case mismatch(rank: Int, reason: String)
  /// A process of the run is gone, or ended the run for this reason.
  case process(String)
  /// The backend gave up, in its own words.
  case failed(backend: String, reason: String)
  /// The backend stopped, as it was asked to.
  case cancelled
  /// Other processes cannot be reached.
  case transport(String)
}

extension BackendError: CustomStringConvertible {
  /// One sentence.
  public var description: String {
    switch self {
    case .unsupported(let operation, let reason):
      return "the device cannot run '\(operation)': \(reason)"
    case .mismatch(let rank, let reason): return "rank \(rank): \(reason)"
    case .process(let reason): return reason
    case .failed(let backend, let reason): return "the backend '\(backend)' failed: \(reason)"
    case .cancelled: return "cancelled"
    case .transport(let reason): return reason
    }
  }
}
