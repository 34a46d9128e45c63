internal import CEPSystem
public import EPBackend
internal import EPIR
public import EPPlan
internal import Glibc

/// The processes of a run, from the view of one: the ranks of every pool lie over them in equal parts.
///
/// Whoever waits notices within `Watch.interval` that the run has been ended; the first process notices
/// as soon that another is gone, and ends the run for all.
public final class WorkerGroup: ProcessGroup {
  /// The memory they share.
  public let region: SharedRegion
  /// Bounds of waiting.
  public struct Watch: Hashable, Sendable {
    /// Nanoseconds after which a process that waits looks whether all is well.
    public var interval: UInt64 = 20_000_000
    /// Seconds without any progress after which a collective counts as hung.
    public var limit: Double = 60

    /// The usual bounds.
    public init() {}
  }
  /// Bounds of waiting.
  public var watch: Watch
  /// What goes wrong, and when.
  public let faults: FaultInjection
  /// Whether the first process has no ranks and only looks after the others, so that any of them can
  /// be lost.
  public let isSupervised: Bool
  /// Ends the run if another process is gone; the first process sets it.
  var supervise: () -> Void = {}
  let pools: [Pool]
  private let firstRank: [Int]
  private let spins: UInt32

  /// Makes the view of one process.
  public init(
    _ plan: Plan, region: SharedRegion, watch: Watch = Watch(),
    faults: FaultSchedule = FaultSchedule(), isSupervised: Bool = false
  ) {
    self.region = region
    self.watch = watch
    self.faults = FaultInjection(faults)
    self.isSupervised = isSupervised
    pools = plan.pools
    var first: [Int] = []
    var ranks = 0
    for pool in plan.pools {
      first.append(ranks)
      ranks += pool.mesh.ranks
    }
    firstRank = first
    // Spinning pays while every process has a core, and costs the others theirs when not.
    let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    spins = region.shape.processes <= cores ? 20_000 : 0
  }

  /// What a run of a plan over so many processes shares.
  public static func shape(
    of plan: Plan, processes: Int, digest: UInt64
  ) -> SharedRegion.Shape {
    let ranks = plan.pools.reduce(0) { $0 + $1.mesh.ranks }
    let members = plan.pools.reduce(2) { max($0, $1.mesh.ep, $1.mesh.tp) }
    return SharedRegion.Shape(
      processes: processes, ranks: ranks, groups: GroupKind.count * ranks, members: members,
      digest: digest)
  }

  enum GroupKind: Int {
    case tensor, expert, pair

    static let count = 3
  }

  // MARK: Ranks

  /// The process that has a rank.
  public func process(ofRank rank: Int, pool: Int) -> Int {
    let first = isSupervised ? 1 : 0
    return first + rank * (region.shape.processes - first) / pools[pool].mesh.ranks
  }

  /// Whether this process has a rank of a pool.
  public func has(rank: Int, ofPool pool: Int) -> Bool {
    process(ofRank: rank, pool: pool) == region.process
  }

  /// What moves bytes between the ranks of a pool.
  public func makeTransport(pool: Int) -> any Transport { SharedTransport(self, pool: pool) }

  /// Every rank of every pool, with its number in the cluster.
  var allRanks: [(pool: Int, rank: Int, clusterRank: Int)] {
    pools.indices.flatMap { pool in
      (0..<pools[pool].mesh.ranks).map { (pool, $0, pools[pool].firstRank + $0) }
    }
  }

  func boardRank(_ rank: Int, pool: Int) -> Int { firstRank[pool] + rank }

  /// A group by the first of its members.
  func boardGroup(_ kind: GroupKind, first: Int, pool: Int) -> Int {
    kind.rawValue * region.shape.ranks + boardRank(first, pool: pool)
  }

  /// A bit for each process that has one of the ranks.
  func processes(of ranks: [Int], pool: Int) -> UInt64 {
    ranks.reduce(0) { $0 | 1 << UInt64(process(ofRank: $1, pool: pool)) }
  }

  // MARK: Waiting

  /// Waits until something is true, looking whenever the bell rings.
  func wait(
    for what: () -> String, until isTrue: () throws(BackendError) -> Bool
  ) throws(BackendError) {
    let start = ContinuousClock.now
    let own = UInt32(region.process)
    while true {
      let seen = unsafe epc_board_bell(region.base, own)
      if try isTrue() { return }
      try checkAborted()
      supervise()
      // Those with ranks know better whom they wait for.
      let limit = isSupervised && own == 0 ? 2 * watch.limit + 1 : watch.limit
      if start.duration(to: .now) > .seconds(limit) {
        abort("process \(own) waits for more than \(Text.milliseconds(limit)) for \(what())")
        try checkAborted()
      }
      unsafe epc_board_wait(region.base, own, seen, spins, watch.interval)
    }
  }

  /// Ends the run for all processes; the first reason counts.
  public func abort(_ reason: String) {
    _ = unsafe epc_board_abort(region.base, UInt32(region.process), reason)
  }

  /// Why the run has been ended; nil while it goes on.
  public var abortReason: String? {
    var process: UInt32 = 0
    var reason = [CChar](repeating: 0, count: 512)
    guard unsafe epc_board_aborted(region.base, &process, &reason) else { return nil }
    return String(
      decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func checkAborted() throws(BackendError) {
    if let reason = abortReason { throw .process(reason) }
  }

  /// Waits for all processes.
  public func barrier() throws(BackendError) {
    let arrival = unsafe epc_board_arrive(region.base, UInt32(region.shape.processes))
    try wait(for: { "the other processes" }) {
      unsafe epc_board_is_open(region.base, arrival)
    }
  }

  /// Gives values that one process has to all.
  public func share(
    _ values: [Float], ofRank rank: Int, pool: Int
  ) throws(BackendError) -> [Float] {
    try share(values, isOwner: has(rank: rank, ofPool: pool))
  }

  /// Gives numbers of the first process, each of less than 2^40, to all.
  public func shareOfFirst(_ numbers: [Int]) throws(BackendError) -> [Int] {
    // Reals hold 20 bits exactly.
    let parts = numbers.flatMap { [Float($0 >> 20), Float($0 & 0xF_FFFF)] }
    let all = try share(parts, isOwner: region.process == 0)
    return stride(from: 0, to: all.count - 1, by: 2).map { Int(all[$0]) << 20 | Int(all[$0 + 1]) }
  }

  private func share(_ values: [Float], isOwner: Bool) throws(BackendError) -> [Float] {
    if region.shape.processes == 1 { return values }
    let staging = region.staging
    let room = staging.bytes / 4 - 16
    var whole: [Float] = isOwner ? values : []
    var moved = 0
    var total = Int.max
    while moved < total {
      if isOwner {
        total = values.count
        unsafe staging.base.storeBytes(of: Int64(total), as: Int64.self)
        staging.elements(from: 16, count: room).copy(from: values.dropFirst(moved).prefix(room))
      }
      try barrier()
      total = Int(unsafe staging.base.load(as: Int64.self))
      let count = min(room, total - moved)
      if !isOwner {
        let place = staging.elements(from: 16, count: count)
        whole += (0..<count).map { unsafe place.reals[$0] }
      }
      moved += count
      try barrier()
      if total == 0 { break }
    }
    return whole
  }
}
