public import EPBackend

/// Which ranks of a pool this process runs, and how it reaches the others.
///
/// Every process of a group is given the same plan and the same request and decides alike what each
/// step works on; what a step makes is shared after it, so that all know the tokens.
public struct ProcessPlace {
  /// The ranks of the pool, consecutive.
  public var ranks: Range<Int>
  /// What moves blocks between ranks.
  public var transport: any Transport
  /// All processes.
  public var processes: any ProcessGroup

  /// Makes a place.
  public init(ranks: Range<Int>, transport: any Transport, processes: any ProcessGroup) {
    self.ranks = ranks
    self.transport = transport
    self.processes = processes
  }
}
