internal import CEPSystem
internal import EPJSON
internal import EPSystem
internal import Glibc

/// Tries a backend's library in a process of its own, so that one that crashes or hangs while it is
/// loaded does so there.
public struct BackendProbe: Sendable {
  /// The path of the `epc` executable, which is started with `probeArguments`.
  public var executable: String
  /// How long loading may take.
  public var seconds: Int

  /// Makes a probe.
  public init(executable: String, seconds: Int = 60) {
    self.executable = executable
    self.seconds = min(max(seconds, 1), 1_000_000)
  }

  /// What the executable is to be run with to answer for a library.
  public static func probeArguments(_ path: String) -> [String] { ["backends", "--probe=\(path)"] }

  /// Tries a library: loads it, agrees on the version, opens and closes it once.
  public func check(_ path: String, environment: [String: String]) throws(PluginError) {
    guard unsafe access(path, F_OK) == 0 else { throw .noSuchFile(path) }
    let outcome = ProgramRun(
      program: executable, arguments: ["epc"] + BackendProbe.probeArguments(path),
      environment: environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        + ["SWIFT_BACKTRACE=enable=no"], outputDescriptor: 3, outputLimit: 1 << 16,
      errorLimit: 1 << 12, wallMilliseconds: seconds * 1000, cpuSeconds: seconds + 1
    ).run(interrupts: nil)
    if outcome.stop == EPC_STOP_WALL_CLOCK || outcome.signal == SIGXCPU {
      throw .hung(path, seconds: seconds)
    }
    guard outcome.stage == EPC_STAGE_RAN else {
      throw .notStarted(path, reason: unsafe String(cString: strerror(outcome.stageErrno)))
    }
    if outcome.signal != 0 { throw .crashed(path, signal: outcome.signal) }
    // Only what the probe itself writes counts: a library that calls exit(0) has not been loaded.
    guard outcome.exitStatus == 0, outcome.output == BackendProbe.answer else {
      throw .ended(path, status: outcome.exitStatus)
    }
  }

  /// What the process writes to descriptor 3 when all went well, or went wrong in a way that can be
  /// told again by loading the library here.
  private static let answer = Array("probed\n".utf8)

  /// The other side: loads and opens a library, and answers on descriptor 3.
  public static func answer(for path: String) {
    // Not watched over: the parent is to see a crash as one.
    let host = BackendHost(seconds: nil) { _, _ in }
    do throws(PluginError) {
      _ = try PluginDevice(try BackendLibrary(loading: path, host: host))
    } catch {}
    _ = unsafe answer.withUnsafeBytes { unsafe write(3, $0.baseAddress, $0.count) }
  }
}
