public import EPBackend
internal import EPIR
public import EPPlan

/// MPI processes that run a plan together: one for each rank, those of the first pool first.
public struct MPIProcesses: ProcessGroup {
  private let library: MPILibrary
  /// The process of each pool's rank 0.
  private let first: [Int]

  /// How many processes a plan takes.
  public static func count(for plan: Plan) -> Int { plan.pools.reduce(0) { $0 + $1.mesh.ranks } }

  /// Makes the group of all processes, as many as the plan takes.
  public init(_ library: MPILibrary, for plan: Plan) {
    self.library = library
    var first: [Int] = []
    var ranks = 0
    for pool in plan.pools {
      first.append(ranks)
      ranks += pool.mesh.ranks
    }
    self.first = first
  }

  /// Whether this process is the rank of the pool.
  public func has(rank: Int, ofPool pool: Int) -> Bool { library.rank == first[pool] + rank }

  /// Exchanges between the pool's processes.
  public func makeTransport(pool: Int) -> any Transport {
    MPITransport(library, first: first[pool])
  }

  /// Gives values of one process to all; see `ProcessGroup`.
  public func share(
    _ values: [Float], ofRank rank: Int, pool: Int
  ) throws(BackendError) -> [Float] {
    let own = has(rank: rank, ofPool: pool) ? values : []
    let bytes = unsafe own.withUnsafeBytes { unsafe Array($0) }
    let given = try library.gather(bytes)[first[pool] + rank]
    guard given.count % 4 == 0 else {
      throw .transport("another process sent results that cannot be read")
    }
    return unsafe given.withUnsafeBytes { bytes in
      (0..<(given.count / 4)).map {
        unsafe bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
      }
    }
  }
}
