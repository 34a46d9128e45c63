public import EPModel
public import EPPlan

/// The next operation that a rank runs, and for which micro-batch.
public struct Issue: Hashable, Sendable {
  /// The micro-batch.
  public var batch: Int
  /// The call, as an index into the rank's.
  public var call: Int
  /// The operation of its function.
  public var operation: Int

  /// Makes an issue.
  public init(batch: Int, call: Int, operation: Int) {
    self.batch = batch
    self.call = call
    self.operation = operation
  }
}

/// A rank's program with its weights and values in memory of the host: what a backend that runs whole
/// programs gets.
public struct PlacedProgram {
  /// The program.
  public var program: RankProgram
  /// The pool it is of.
  public var pool: Pool
  /// The place of each weight of each call; nil for one that the rank does not use.
  public var weights: [[Memory?]]
  /// By function, where each value is in an arena, in bytes.
  public var offsets: [[Int]]
  /// By function, the room each value has there.
  public var sizes: [[Int]]
  /// The arena of each micro-batch.
  public var arenas: [Memory]
  /// The operations of the model's phase, then of each draft's, in the plan's order.
  public var phases: [[Issue]]
  /// Bytes that the plan's devices have for it.
  public var deviceBytes: Int

  /// Makes a description.
  public init(
    program: RankProgram, pool: Pool, weights: [[Memory?]], offsets: [[Int]], sizes: [[Int]],
    arenas: [Memory], phases: [[Issue]], deviceBytes: Int
  ) {
    self.program = program
    self.pool = pool
    self.weights = weights
    self.offsets = offsets
    self.sizes = sizes
    self.arenas = arenas
    self.phases = phases
    self.deviceBytes = deviceBytes
  }
}

/// What a backend that runs a rank's program may ask while a step runs.
public protocol RankHost: AnyObject {
  /// The state of a micro-batch of the step.
  func state(ofBatch batch: Int) -> StepState

  /// Puts what a call reads where its parameters are.
  func enter(batch: Int, call: Int)

  /// Where an operation finds what it reads and makes.
  func arguments(of issue: Issue) -> OpArguments
}

/// A rank's program in the hands of a backend, which runs steps of it.
///
/// It is resumable, as executors are: `resume` runs until other ranks are needed.
public protocol RankRunner: AnyObject {
  /// Starts a step of a phase, 0 for the model and one more for each draft.
  func begin(phase: Int, host: any RankHost)

  /// Runs until an exchange must be carried out, and says which; nil when the step is done. When it is
  /// called again, that exchange has ended.
  func resume() throws(BackendError) -> Issue?
}

extension OpKind {
  /// Whether executors carry it out: ranks meet in it, or it moves rows.
  public var isExecutors: Bool {
    switch self {
    case .dispatch, .combine, .allReduce, .allGather, .reduceScatter, .scatterRows, .sampleRows,
      .send, .receive:
      return true
    default: return false
    }
  }
}
