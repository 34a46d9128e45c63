/// What streaming experts took.
public struct StreamStatistics: Hashable, Sendable {
  /// Memory for experts, in bytes.
  public var capacity = 0
  /// Bytes of all routed experts, as the device keeps them.
  public var expertBytes = 0
  /// Bytes of experts in memory.
  public var residentBytes = 0
  /// Experts that rows were sent to and that were in memory, summed over layers and steps.
  public var hits = 0
  /// Those of the hits that were brought before anybody asked for them.
  public var guessedHits = 0
  /// Experts that rows were sent to and that had to be brought.
  public var misses = 0
  /// Bytes read from the checkpoint for experts.
  public var bytesRead = 0
  /// Of those read, bytes of experts that were guessed and that nobody has asked for.
  public var unusedBytes = 0
  /// Bytes that a cache of this capacity would have read which knew the future; nil where nothing is read,
  /// or for very long runs.
  public var leastBytesRead: Int?
  /// Of those read, bytes read after the first token.
  public var decodeBytesRead = 0
  /// Seconds in which there was nothing to do but wait for an expert.
  public var stallSeconds = 0.0
  /// Bytes that were read in those seconds.
  public var stallBytes = 0
  /// Seconds of all threads that put what had been read into the form that the device wants.
  public var installSeconds = 0.0

  /// Nothing done yet.
  public init() {}

  /// Bytes read in a second of waiting; nil where nothing was waited for.
  public var stallRate: Double? {
    stallSeconds > 0 ? Double(stallBytes) / stallSeconds : nil
  }

  /// The share of experts that were in memory when rows were sent to them; nil without any.
  public var hitRate: Double? {
    hits + misses == 0 ? nil : Double(hits) / Double(hits + misses)
  }
}
