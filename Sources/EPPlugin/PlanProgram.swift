internal import CEPSystem
internal import EPJSON
internal import EPSystem
internal import Glibc

/// Somebody else's program that works on a plan: a compiler pass, which writes another plan, or an
/// exporter, which writes what it likes.
///
/// It is called with a file that holds the plan, and answers on standard output; what it has to say
/// goes to standard error. A process, rather than a library: it may be written in anything, it can
/// neither crash nor hang the host, and a plan that it makes is checked like one from anywhere.
public struct PlanProgram: Sendable {
  /// The program's path, with a slash in it.
  public var path: String
  /// How long it may run.
  public var seconds: Int

  /// What a program made.
  public struct Answer: Sendable {
    /// What it wrote to standard output.
    public var output: [UInt8]
    /// What it wrote to standard error, without what would make a terminal do things.
    public var notes: String
  }

  /// Names a program. Names without a slash are not searched for.
  public init(path: String, seconds: Int = 60) throws(PluginError) {
    guard path.contains("/") else { throw .programWithoutSlash(path) }
    self.path = path
    self.seconds = min(max(seconds, 1), 1_000_000)
  }

  /// Runs the program on a plan.
  ///
  /// - Parameter limit: the most bytes of output.
  public func run(
    on plan: [UInt8], limit: Int, environment: [String: String]
  ) throws(PluginError) -> Answer {
    guard let resolved = unsafe realpath(path, nil) else { throw .noSuchFile(path) }
    let program = unsafe String(cString: resolved)
    unsafe free(resolved)
    // Held back until the folder is gone again.
    let interrupts = InterruptWatch()
    defer { interrupts.end() }
    let folder = try PlanProgram.makeFolder(environment)
    let file = folder + "/plan.json"
    defer {
      unsafe unlink(file)
      unsafe rmdir(folder)
    }
    do throws(JSONError) { try JSONFile.write(plan, to: file) } catch {
      throw .programFailed(path, reason: "\(error)")
    }
    let outcome = ProgramRun(
      program: program, arguments: [path, file],
      environment: environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" },
      outputDescriptor: 1, outputLimit: limit, errorLimit: 1 << 16,
      wallMilliseconds: seconds * 1000, cpuSeconds: nil
    ).run(interrupts: interrupts)
    if let reason = problem(outcome, limit: limit) {
      throw .programFailed(path, reason: reason)
    }
    return Answer(output: outcome.output, notes: outcome.printable)
  }

  private func problem(_ outcome: ProgramRun.Outcome, limit: Int) -> String? {
    if outcome.stage != EPC_STAGE_RAN {
      return unsafe "it cannot be started: " + String(cString: strerror(outcome.stageErrno))
    }
    // Its last line says most, as a rule.
    let said = outcome.printable.split(separator: "\n").last.map { ": \($0)" } ?? ""
    if outcome.stop == EPC_STOP_WALL_CLOCK { return "it did not end within \(seconds) s" }
    if outcome.stop == EPC_STOP_OUTPUT_LIMIT { return "it wrote more than \(limit) bytes" }
    if outcome.stop != EPC_STOP_NONE { return "it was interrupted" }
    if outcome.signal != 0 { return "it ended with signal \(outcome.signal)" + said }
    if outcome.exitStatus != 0 { return "it ended with status \(outcome.exitStatus)" + said }
    return outcome.output.isEmpty ? "it wrote nothing" : nil
  }

  private static func makeFolder(_ environment: [String: String]) throws(PluginError) -> String {
    let base = environment["TMPDIR"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/tmp"
    var template = Array("\(base)/epc-plan-XXXXXX".utf8CString)
    let made = unsafe template.withUnsafeMutableBufferPointer { buffer -> String? in
      guard let start = buffer.baseAddress, unsafe mkdtemp(start) != nil else { return nil }
      return unsafe String(cString: start)
    }
    guard let made else {
      throw .programFailed(base, reason: "no folder can be made there")
    }
    return made
  }
}
