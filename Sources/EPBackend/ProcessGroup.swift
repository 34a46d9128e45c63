/// The processes that run the ranks of a plan together.
///
/// All of them run the same steps in the same order, each with the ranks it has; so they agree on
/// every token without asking each other.
public protocol ProcessGroup {
  /// Whether this process has a rank of a pool.
  func has(rank: Int, ofPool pool: Int) -> Bool

  /// Called by every process before each step of a run, steps counted from 0.
  func begin(step: Int) throws(BackendError)

  /// What moves bytes between the ranks of a pool.
  func makeTransport(pool: Int) -> any Transport

  /// Gives values that one process has to all. Every process calls it, in the same order.
  ///
  /// - Parameters:
  ///   - values: the values, where the process has the rank; ignored elsewhere.
  ///   - rank: the rank that has them.
  ///   - pool: its pool, as an index into the plan's.
  func share(_ values: [Float], ofRank rank: Int, pool: Int) throws(BackendError) -> [Float]
}

extension ProcessGroup {
  /// Nothing.
  public func begin(step: Int) throws(BackendError) {}
}

/// One process that has all ranks.
public struct SingleProcess: ProcessGroup {
  /// Makes the group.
  public init() {}

  /// It has every rank.
  public func has(rank: Int, ofPool pool: Int) -> Bool { true }

  /// Copies.
  public func makeTransport(pool: Int) -> any Transport { InProcessTransport() }

  /// The values.
  public func share(
    _ values: [Float], ofRank rank: Int, pool: Int
  ) throws(BackendError) -> [Float] { values }
}
