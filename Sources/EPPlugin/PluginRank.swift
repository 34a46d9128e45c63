internal import CEPBackend
internal import CEPSystem
internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan
internal import Glibc

/// A rank's program in the hands of a backend in a shared library.
///
/// The backend's `run_step` blocks where it waits for other ranks, and executors must not; so it has
/// a thread of its own, which runs in turns with the executor's: never both at once.
@safe
final class PluginRank: RankRunner, @unchecked Sendable {
  private let instance: PluginInstance
  private let placed: PlacedProgram
  private let description = CData()
  private let table: UnsafeMutablePointer<epc_rank_host>
  private var rank: OpaquePointer?
  private var thread: OpaquePointer?

  // The step being run.
  private var phase = 0
  private var host: (any RankHost)?
  private var walks: [ProgramWalk] = []
  private var started: [Issue] = []
  /// What the executor is to carry out before the thread goes on.
  private var demand: Issue?
  private var isRunning = false
  private var isEnding = false
  private var failure: BackendError?
  /// What `arguments` handed out last, by micro-batch.
  private var runs: [CData] = []

  init(_ placed: PlacedProgram, _ instance: PluginInstance) throws(BackendError) {
    self.instance = instance
    self.placed = placed
    unsafe table = .allocate(capacity: 1)
    unsafe table.initialize(to: epc_rank_host())
    unsafe table.pointee = PluginRank.functions(Unmanaged.passUnretained(self).toOpaque())
    guard let open = unsafe instance.library.table.pointee.open_program else { return }
    let program = unsafe description.program(placed)
    var made: OpaquePointer?
    let error = instance.watched("open_program") {
      unsafe BackendLibrary.take(unsafe open(instance.pointer, program, table, &made))
    }
    if let failure { throw failure }
    if let error {
      if error.code == EPC_ERROR_UNSUPPORTED {
        throw .unsupported(operation: "a whole program", reason: error.message)
      }
      throw failed("open_program", error.message)
    }
    unsafe rank = unsafe made
  }

  deinit {
    if let thread = unsafe thread {
      isEnding = true
      unsafe epc_baton_resume(thread)
      unsafe epc_baton_free(thread)
    }
    if let close = unsafe instance.library.table.pointee.close_program, let rank = unsafe rank {
      instance.watched("close_program") { unsafe close(rank) }
    }
    unsafe table.deallocate()
  }

  private func failed(_ what: String, _ reason: String) -> BackendError {
    .failed(backend: instance.library.name, reason: "\(what): \(reason)")
  }

  // MARK: The executor's thread

  func begin(phase: Int, host: any RankHost) {
    self.phase = phase
    self.host = host
    walks = placed.arenas.map { _ in
      ProgramWalk(placed.program, phase: placed.phases[phase])
    }
    runs = placed.arenas.map { _ in CData() }
    started = []
    (isRunning, failure) = (true, nil)
  }

  func resume() throws(BackendError) -> Issue? {
    if unsafe thread == nil {
      unsafe thread = epc_baton_make(
        { unsafe Unmanaged<PluginRank>.fromOpaque($0).takeUnretainedValue().runSteps() },
        Unmanaged.passUnretained(self).toOpaque())
    }
    guard let thread = unsafe thread else {
      let reason = unsafe String(cString: strerror(errno))
      throw failed("no thread for rank \(placed.program.rank)", reason)
    }
    demand = nil
    unsafe epc_baton_resume(thread)
    if let demand { return demand }
    defer { host = nil }
    if let failure { throw failure }
    for batch in walks.indices {
      if let rest = walks[batch].rest {
        throw failed("run_step", "it returned, and \(rest) in micro-batch \(batch)")
      }
      for call in walks[batch].finish() { host?.enter(batch: batch, call: call) }
    }
    return nil
  }

  // MARK: The backend's thread

  private func runSteps() {
    while !isEnding {
      if isRunning, let host, let run = unsafe instance.library.table.pointee.run_step {
        let data = CData()
        let step = unsafe data.step(
          phase: phase, states: walks.indices.map { host.state(ofBatch: $0) },
          arenas: placed.arenas)
        let error = instance.watched("run_step") {
          unsafe BackendLibrary.take(unsafe run(rank, step))
        }
        withExtendedLifetime(data) {}
        if let error, failure == nil {
          failure =
            error.code == EPC_ERROR_CANCELLED ? .cancelled : failed("run_step", error.message)
        }
        isRunning = false
      }
      if !isEnding { yield() }
    }
  }

  private func yield() {
    if let thread = unsafe thread { unsafe epc_baton_yield(thread) }
  }

  /// Serves a call of the backend: not watched over meanwhile, and a fault in it ends the run.
  private func serve(
    _ what: String, _ body: () throws(ProgramFault) -> Void
  ) -> UnsafeMutablePointer<epc_error>? {
    let library = instance.library
    library.host.endCall()
    defer { library.host.beginCall("the backend '\(library.name)'", "run_step") }
    do throws(ProgramFault) {
      if !isEnding && failure == nil { try body() }
    } catch {
      failure = failed(what, error.message)
      return unsafe BackendHost.error(
        error.isMemory ? EPC_ERROR_MEMORY : EPC_ERROR_ARGUMENT, error.message)
    }
    if isEnding { return unsafe BackendHost.error(EPC_ERROR_CANCELLED, "the run has ended") }
    guard let failure else { return nil }
    return unsafe BackendHost.error(EPC_ERROR_ARGUMENT, failure.description)
  }

  private func checkedBatch(_ batch: Int) throws(ProgramFault) -> any RankHost {
    guard isRunning, let host else { throw ProgramFault("no step is being run") }
    if !walks.indices.contains(batch) { throw ProgramFault("there is no micro-batch \(batch)") }
    return host
  }

  private func checked(_ issue: UnsafePointer<epc_program_issue>?) throws(ProgramFault) -> Issue {
    guard let issue = unsafe issue else { throw ProgramFault("the issue is NULL") }
    let made = unsafe Issue(
      batch: issue.pointee.batch, call: issue.pointee.call, operation: issue.pointee.operation)
    _ = try checkedBatch(made.batch)
    return made
  }

  private func enter(_ batch: Int, _ call: Int) throws(ProgramFault) {
    let host = try checkedBatch(batch)
    for entered in try walks[batch].enter(call) { host.enter(batch: batch, call: entered) }
  }

  private func arguments(_ issue: Issue) throws(ProgramFault) -> UnsafePointer<epc_run> {
    let host = try checkedBatch(issue.batch)
    try walks[issue.batch].run(issue)
    let function = placed.program.functions[placed.program.calls[issue.call].function].function
    let operation = OpDescription(function.operations[issue.operation], in: function)
    let state = host.state(ofBatch: issue.batch)
    let rows = operation.results.first.map { RowKind($0) } ?? .none
    let data = CData()
    runs[issue.batch] = data
    return unsafe data.make(
      data.run(
        host.arguments(of: issue), state, rows: rows, count: state.count(rows),
        slots: operation.slots))
  }

  private func start(_ issue: Issue) throws(ProgramFault) {
    try walks[issue.batch].start(issue)
    started.append(issue)
  }

  /// Carries out what was started, in that order, up to an exchange.
  private func finish(_ issue: Issue) throws(ProgramFault) {
    while try !walks[issue.batch].hasEnded(issue) {
      let next = started.removeFirst()
      demand = next
      yield()
      if isEnding { return }
      walks[next.batch].end(next)
    }
  }

  private func hold(_ bytes: UInt64) throws(ProgramFault) {
    if bytes > UInt64(max(placed.deviceBytes, 0)) {
      throw ProgramFault(
        "rank \(placed.program.rank) takes \(bytes) bytes, and the plan's devices have "
          + "\(placed.deviceBytes)", isMemory: true)
    }
  }

  /// The functions of a rank that the backend may call.
  private static func functions(_ context: UnsafeMutableRawPointer) -> epc_rank_host {
    func rank(_ context: UnsafeMutableRawPointer?) -> PluginRank? {
      unsafe context.map { unsafe Unmanaged.fromOpaque($0).takeUnretainedValue() }
    }
    var made = unsafe epc_rank_host()
    unsafe made.struct_size = MemoryLayout<epc_rank_host>.size
    unsafe made.context = unsafe context
    unsafe made.enter = { context, batch, call in
      guard let rank = unsafe rank(context) else { return nil }
      return unsafe rank.serve("enter") { () throws(ProgramFault) in
        try rank.enter(batch, call)
      }
    }
    unsafe made.arguments = { context, issue, run in
      guard let rank = unsafe rank(context), let run = unsafe run else { return nil }
      return unsafe rank.serve("arguments") { () throws(ProgramFault) in
        unsafe run.pointee = try unsafe rank.arguments(rank.checked(issue))
      }
    }
    unsafe made.start = { context, issue in
      guard let rank = unsafe rank(context) else { return nil }
      return unsafe rank.serve("start") { () throws(ProgramFault) in
        try unsafe rank.start(rank.checked(issue))
      }
    }
    unsafe made.finish = { context, issue in
      guard let rank = unsafe rank(context) else { return nil }
      return unsafe rank.serve("finish") { () throws(ProgramFault) in
        try unsafe rank.finish(rank.checked(issue))
      }
    }
    unsafe made.hold = { context, bytes in
      guard let rank = unsafe rank(context) else { return nil }
      return unsafe rank.serve("hold") { () throws(ProgramFault) in try rank.hold(bytes) }
    }
    return unsafe made
  }
}
