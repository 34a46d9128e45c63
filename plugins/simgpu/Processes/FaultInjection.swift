internal import CEPSimulation
internal import CEPSystem
public import EPBackend
internal import EPIR
internal import EPPlan
internal import Glibc
internal import Synchronization

/// Makes the faults of a schedule happen to this process's ranks in a run with tensors.
///
/// A slow rank sleeps between meetings, a slow link while it copies. A lost rank kills its process in the
/// middle of a step, a hung one never posts again, and a device that reports an error ends the run.
public final class FaultInjection: Sendable {
  /// What goes wrong.
  public let schedule: FaultSchedule
  private let state: Mutex<State>

  private struct State {
    var step = -1
    /// Posts of each rank in this step, and in the step before.
    var posts: [Int: Int] = [:]
    var before: [Int: Int] = [:]
    /// Processor time at each rank's latest post.
    var latest: [Int: Double] = [:]
  }

  /// What a rank does instead of posting.
  enum Outcome {
    case post
    /// It never comes.
    case hang
    /// It is gone, with its process.
    case die
    /// Its device ends its work.
    case fail(FaultSchedule.Fault)
  }

  init(_ schedule: FaultSchedule) {
    self.schedule = schedule
    state = Mutex(State())
  }

  func begin(step: Int) {
    state.withLock { state in
      (state.step, state.before, state.posts) = (step, state.posts, [:])
    }
  }

  /// Counts a post of a rank of the cluster, sleeps if it is slow, and says what becomes of it. Fatal
  /// faults come in the middle of a step, by the posts of the step before.
  func post(by rank: Int) -> Outcome {
    if schedule.faults.isEmpty { return .post }
    let (step, count, middle, since) = state.withLock { state in
      let count = state.posts[rank, default: 0]
      state.posts[rank] = count + 1
      let now = Self.processorSeconds
      let since = state.latest[rank].map { now - $0 } ?? 0
      state.latest[rank] = now
      return (state.step, count, (state.before[rank] ?? 0) / 2, since)
    }
    for fault in schedule.faults where fault.rank == rank {
      if fault.kind == .slowRank && fault.holds(in: step) {
        // What has been computed since its latest meeting takes that much longer.
        sleep(min(since, 0.1) * (fault.factor - 1))
      }
      guard fault.kind.isFatal, fault.step == step, count == middle else { continue }
      switch fault.kind {
      case .lostRank: return .die
      case .hungCollective: return .hang
      case .deviceError: return .fail(fault)
      case .slowRank, .slowLink: continue
      }
    }
    return .post
  }

  /// Makes copies of a rank with a slow link take longer.
  func copied(by rank: Int, in time: Duration) {
    for fault in schedule.faults where fault.rank == rank && fault.kind == .slowLink {
      if fault.holds(in: state.withLock { $0.step }) {
        let seconds = min(Double(time.components.attoseconds) * 1e-18, 0.1)
        sleep(seconds * (fault.factor - 1))
      }
    }
  }

  /// What a rank's device says of itself in a step.
  func health(of rank: Int, step: Int) -> epc_board_health {
    var health = epc_board_health(pace: 0, link_pace: 0)
    for fault in schedule.faults where fault.rank == rank && fault.holds(in: step) {
      let pace = UInt32(fault.factor * Double(EPC_PACE_ONE))
      switch fault.kind {
      case .slowRank: health.pace = max(health.pace, pace)
      case .slowLink: health.link_pace = max(health.link_pace, pace)
      case .lostRank, .hungCollective, .deviceError: break
      }
    }
    return health
  }

  /// Processor time of this thread, which waiting for others takes none of.
  private static var processorSeconds: Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  private func sleep(_ seconds: Double) { usleep(UInt32(min(seconds, 1) * 1e6)) }
}

extension WorkerGroup {
  /// Begins a step: devices say how they are, faults are counted by it.
  public func begin(step: Int) throws(BackendError) {
    if faults.schedule.faults.isEmpty { return }
    faults.begin(step: step)
    for place in allRanks where has(rank: place.rank, ofPool: place.pool) {
      unsafe epc_board_set_health(
        region.base, UInt32(boardRank(place.rank, pool: place.pool)),
        faults.health(of: place.clusterRank, step: step))
    }
  }

  /// Ranks whose devices say that they are slow, with the kind and how many times.
  public var slowRanks: [(rank: Int, kind: FaultSchedule.Fault.Kind, factor: Double)] {
    var slow: [(rank: Int, kind: FaultSchedule.Fault.Kind, factor: Double)] = []
    for place in allRanks {
      let health = unsafe epc_board_health_of(
        region.base, UInt32(boardRank(place.rank, pool: place.pool)))
      let one = Double(EPC_PACE_ONE)
      if health.pace > 0 {
        slow.append((place.clusterRank, .slowRank, Double(health.pace) / one))
      }
      if health.link_pace > 0 {
        slow.append((place.clusterRank, .slowLink, Double(health.link_pace) / one))
      }
    }
    return slow
  }

  /// Seconds since the first fault of the run; 0 if there was none.
  public var secondsSinceFault: Double {
    Double(unsafe epc_board_since_fault(region.base)) * 1e-9
  }

  /// Members of a group that have met others less often than the rest: those that are missing.
  func missing(of members: [Int], pool: Int) -> [Int] {
    let posts = members.map { member -> UInt64 in
      var (kind, posts): (UInt32, UInt64) = (0, 0)
      unsafe epc_board_progress(
        region.base, UInt32(boardRank(member, pool: pool)), &kind, &posts)
      return posts
    }
    let most = posts.max() ?? 0
    return zip(members, posts).filter { $0.1 < most }.map { pools[pool].firstRank + $0.0 }
  }

  /// The cluster's number of a pool's rank.
  func clusterRank(_ rank: Int, pool: Int) -> Int { pools[pool].firstRank + rank }
}
