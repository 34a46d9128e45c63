public import EPBackend
internal import EPIR
internal import EPModel

/// Moves blocks between ranks that are processes of their own: an exchange is one non-blocking
/// `MPI_Alltoallv` in the communicator of its members, or `MPI_Alltoallw` where rows lie apart.
///
/// Dispatch comes as two exchanges, of counts and of rows, so every rank knows how much it receives.
public struct MPITransport: Transport {
  private let library: MPILibrary
  /// The process of the pool's rank 0.
  private let first: Int
  /// Communicators by their members.
  private var groups: [[Int]: Int32] = [:]
  /// The rank's request that is under way.
  private var pending: (rank: Int, request: Int32)?

  /// Makes the transport of a pool whose ranks are the processes from `first` on.
  public init(_ library: MPILibrary, first: Int = 0) {
    self.library = library
    self.first = first
  }

  /// MPI gathers and scatters rows on its way; see `Transport`.
  public var movesRows: Bool { true }

  /// Takes a request; see `Transport`.
  public mutating func post(_ request: Request, from rank: Int) throws(BackendError) -> [Int] {
    switch request {
    case .exchange(let exchange):
      if exchange.members == [rank], exchange.rows == nil {
        exchange.receives[0].copy(from: exchange.sends[0])
        return [rank]
      }
      let group: Int32
      if let known = groups[exchange.members] {
        group = known
      } else {
        group = try library.makeGroup(exchange.members.map { first + $0 })
        groups[exchange.members] = group
      }
      pending = (rank, try library.start(exchange, in: group))
      return []
    case .send(let receiver, let block):
      try library.send(block, to: first + receiver)
      return [rank]
    case .receive(let sender, let place):
      pending = (rank, try library.receive(place, from: first + sender))
      return []
    }
  }

  /// Lets MPI move bytes of the rank's request: it does so within its own calls alone.
  public mutating func progress() throws(BackendError) {
    if let (_, request) = pending { try library.progress(request) }
  }

  /// Waits for the rank's request; see `Transport`.
  public mutating func wait() throws(BackendError) -> [Int] {
    guard let (rank, request) = pending else { return [] }
    pending = nil
    try library.wait(for: request)
    return [rank]
  }
}
