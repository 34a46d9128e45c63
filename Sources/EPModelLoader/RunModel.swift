import CEPSystem
import EPSystem
import Glibc

/// The step that runs a compiled model file, confined, and takes the model's bytes from it.
struct RunModel {
  let source: ModelSource
  let toolchain: Toolchain
  let executable: String
  let options: ModelFileOptions

  /// What the step gives.
  struct Ran {
    let payload: [UInt8]
    let printed: String
  }

  #if arch(x86_64)
    private static let dynamicLoader = "/lib64/ld-linux-x86-64.so.2"
    private static let systemLibraries = [
      "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
    ]
  #elseif arch(arm64)
    private static let dynamicLoader = "/lib/ld-linux-aarch64.so.1"
    private static let systemLibraries = [
      "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64",
    ]
  #endif

  /// No backtracer (it is another process), and the same hash order in every run.
  private static let environment = [
    "LC_ALL=C", "SWIFT_BACKTRACE=enable=no", "SWIFT_DETERMINISTIC_HASHING=1",
  ]

  /// Runs the model file's program.
  func run(interrupts: InterruptWatch) throws(ModelLoadError) -> Ran {
    let limits = options.limits
    let outcome = ProgramRun(
      program: executable, arguments: ["model"], environment: Self.environment, directory: "/",
      outputDescriptor: 3, outputLimit: limits.outputBytes, errorLimit: 64 << 10,
      wallMilliseconds: limits.wallMilliseconds, cpuSeconds: limits.cpuSeconds,
      memoryBytes: UInt64(clamping: limits.memoryBytes), stackBytes: 8 << 20, fileSizeBytes: 0,
      openFiles: 64,
      confinement: .init(
        readable: toolchain.runtimeLibraryPaths + Self.systemLibraries + ["/etc/ld.so.cache"],
        executable: [executable, Self.dynamicLoader],
        acceptsMissingLandlock: options.acceptsMissingLandlock)
    ).run(interrupts: interrupts)
    try check(outcome)
    guard !outcome.output.isEmpty else {
      throw .endedWithoutModel(source.path, printed: outcome.printable)
    }
    do throws(ModelLoadError.EnvelopeFault) {
      return Ran(payload: try Envelope.payload(of: outcome.output), printed: outcome.printable)
    } catch {
      throw .badEnvelope(source.path, error)
    }
  }

  /// Turns every end but a good one into an error.
  private func check(_ outcome: ProgramRun.Outcome) throws(ModelLoadError) {
    let path = source.path
    let limits = options.limits
    switch outcome.stage {
    case EPC_STAGE_RAN: break
    case EPC_STAGE_LANDLOCK, EPC_STAGE_SECCOMP, EPC_STAGE_PRIVILEGES:
      throw .cannotConfine(path, errno: outcome.stageErrno)
    default:
      throw .cannotStart(executable, step: .run, errno: outcome.stageErrno)
    }
    switch outcome.stop {
    case EPC_STOP_INTERRUPT: throw .interrupted
    case EPC_STOP_WALL_CLOCK:
      throw .timeLimit(path, .wall, seconds: Double(limits.wallMilliseconds) / 1_000)
    case EPC_STOP_OUTPUT_LIMIT: throw .outputTooLarge(path, limit: limits.outputBytes)
    case EPC_STOP_DENIED_CALL:
      let call = outcome.deniedCall
      throw .denied(
        path, call: unsafe text(epc_denied_call_name(call)),
        action: unsafe text(epc_denied_call_action(call)))
    default: break
    }
    switch outcome.signal {
    case 0: break
    case SIGSYS: throw .denied(path, call: nil, action: nil)
    case SIGXFSZ: throw .denied(path, call: nil, action: "write a file")
    case SIGXCPU,
      SIGKILL where outcome.cpuSeconds >= Double(limits.cpuSeconds):
      throw .timeLimit(path, .cpu, seconds: Double(limits.cpuSeconds))
    default: throw .trapped(path, signal: outcome.signal, printed: outcome.printable)
    }
    guard outcome.exitStatus == 0 else {
      throw .exited(path, status: outcome.exitStatus, printed: outcome.printable)
    }
  }

  private func text(_ string: UnsafePointer<CChar>?) -> String? {
    guard let string = unsafe string else { return nil }
    return unsafe String(cString: string)
  }
}
