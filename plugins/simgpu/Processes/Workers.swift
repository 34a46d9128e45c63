internal import CEPSystem
public import EPBackend
internal import EPModel
internal import Glibc

/// The processes that a run's first process starts: it watches them, ends the run for all when one
/// is gone, and leaves none behind.
public final class Workers {
  private let group: WorkerGroup
  private var running: [(process: Int, id: pid_t)] = []
  /// Processes that were killed, by their numbers.
  public private(set) var killed: [Int] = []

  /// Which worker a process is, as its parent tells it in the environment.
  public struct Identity: Hashable, Sendable {
    /// The variable that carries it.
    public static let variable = "EPC_SIMGPU_WORKER"
    /// The process among those of the run.
    public var process: Int
    /// All processes of the run.
    public var processes: Int
    /// The process that started it.
    var parent: Int
    /// Pools that have lost a data group so far, once for each.
    public var losses: [Int]

    /// Reads the variable's value, `process:processes:parent:losses`; nil where it is none.
    public init?(parsing text: String) {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 4, let process = Int(parts[0]), let processes = Int(parts[1]),
        let parent = Int(parts[2]), process > 0, process < processes, processes <= 64
      else { return nil }
      self.process = process
      self.processes = processes
      self.parent = parent
      losses = parts[3].split(separator: ",").compactMap { Int($0) }
    }

    /// Makes this process end with its parent; false if that is gone already.
    public func bind() -> Bool { epc_worker_bind(pid_t(parent)) }

    /// The descriptor of the run's memory.
    public static let descriptor = Int32(EPC_WORKER_DESCRIPTOR)
  }

  /// Starts all processes of a group but the first, each running `program` with the arguments and an
  /// environment that tells it which one it is.
  public init(
    _ group: WorkerGroup, program: String, arguments: [String], environment: [String: String],
    losses: [Int] = []
  ) throws(BackendError) {
    self.group = group
    let processes = group.region.shape.processes
    for process in 1..<max(processes, 1) {
      var own = environment
      own[Identity.variable] =
        "\(process):\(processes):\(getpid()):" + losses.map(String.init).joined(separator: ",")
      let pairs = own.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      let id = unsafe Self.withStrings([program] + arguments) { argv in
        unsafe Self.withStrings(pairs) { envp in
          unsafe epc_worker_spawn(program, argv, envp, group.region.descriptor)
        }
      }
      if id < 0 {
        let reason = lastError()
        stop()
        throw .process("process \(process) cannot be started: \(reason)")
      }
      running.append((process, id))
    }
    group.supervise = { [weak self] in self?.check() }
  }

  deinit { stop() }

  /// Ends the run if a process is gone that should not be.
  private func check() {
    running.removeAll { worker in
      var (status, signal): (Int32, Int32) = (0, 0)
      guard unsafe epc_worker_ended(worker.id, &status, &signal) else { return false }
      if signal > 0 { killed.append(worker.process) }
      if status != 0 {
        let how = signal > 0 ? "was killed by signal \(signal)" : "ended with status \(status)"
        group.abort(
          "process \(worker.process) (\(group.ranksText(ofProcess: worker.process))) \(how)"
            + group.progressText(ofProcess: worker.process))
      }
      return true
    }
  }

  /// Waits until all have ended by themselves, as they do after the last barrier.
  public func join() throws(BackendError) {
    while !running.isEmpty {
      check()
      try group.checkAborted()
      usleep(200)
    }
  }

  /// Kills those that are left.
  public func stop() {
    for worker in running { epc_worker_kill(worker.id) }
    running = []
  }

  /// The process numbers and system's numbers of those that run.
  public var identifiers: [(process: Int, id: Int)] { running.map { ($0.process, Int($0.id)) } }

  private static func withStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
  ) -> Result {
    var pointers: [UnsafePointer<CChar>?] = unsafe strings.map { unsafe UnsafePointer(strdup($0)) }
    unsafe pointers.append(nil)
    defer {
      unsafe pointers.forEach { unsafe free(UnsafeMutablePointer(mutating: $0)) }
    }
    return unsafe pointers.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("a list ends with nil") }
      return unsafe body(base)
    }
  }
}

extension WorkerGroup {
  /// The first of the cluster's ranks that a process has.
  public func firstRank(ofProcess process: Int) -> Int? {
    allRanks.first { self.process(ofRank: $0.rank, pool: $0.pool) == process }?.clusterRank
  }

  /// The cluster's ranks that a process has.
  func ranksText(ofProcess process: Int) -> String {
    let ranks = allRanks.filter { self.process(ofRank: $0.rank, pool: $0.pool) == process }
      .map { $0.clusterRank }
    guard let first = ranks.first, let last = ranks.last else { return "no ranks" }
    return ranks.count == 1 ? "rank \(first)" : "ranks \(first)-\(last)"
  }

  /// What the first of a process's ranks met others for last.
  func progressText(ofProcess process: Int) -> String {
    guard
      let rank = allRanks.first(where: { self.process(ofRank: $0.rank, pool: $0.pool) == process })
    else { return "" }
    var kind: UInt32 = 0
    var posts: UInt64 = 0
    unsafe epc_board_progress(
      region.base, UInt32(boardRank(rank.rank, pool: rank.pool)), &kind, &posts)
    return posts == 0
      ? " before it met any other"
      : ", last seen in meeting \(posts), '\(OpKind.allCases[Int(kind)].rawValue)'"
  }
}
