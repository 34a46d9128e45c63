import CEPSystem
import EPSystem
import Glibc

/// The step that makes a program from a model file.
struct CompileModel {
  let source: ModelSource
  let toolchain: Toolchain
  let library: ModelLibrary
  let scratch: ScratchDirectory
  /// Where the compiler keeps its modules of C headers; nil for a private place.
  let moduleCache: String?
  let options: ModelFileOptions

  /// What the step gives.
  struct Compiled {
    let executable: String
    /// The compiler's warnings, verbatim.
    let diagnostics: String
  }

  /// Runs swiftc. Its diagnostics carry the user's path, since that is what it is given.
  func run(interrupts: InterruptWatch) throws(ModelLoadError) -> Compiled {
    let main = try scratch.write("main.swift", options.entryPoint)
    let executable = scratch.path + "/model"
    let seconds = options.limits.compileSeconds
    let outcome = ProgramRun(
      program: toolchain.compiler, arguments: arguments(main: main, executable: executable),
      environment: Self.environment(from: options.environment, temporary: scratch.path),
      outputDescriptor: 1, outputLimit: 4 << 20, errorLimit: 4 << 20,
      wallMilliseconds: seconds * 1_000, cpuSeconds: seconds,
      memoryBytes: UInt64(clamping: options.limits.compileMemoryBytes), fileSizeBytes: 1 << 30
    ).run(interrupts: interrupts)

    let output = CompilerOutput(
      outcome.error.replacing(source.argument, with: source.path), entryPoint: main)
    if outcome.succeeded {
      return Compiled(executable: executable, diagnostics: output.withoutEntryPoint)
    }
    if outcome.stop == EPC_STOP_INTERRUPT { throw .interrupted }
    if outcome.stop == EPC_STOP_WALL_CLOCK || outcome.signal == SIGXCPU {
      throw .compileTimeLimit(source.path, seconds: seconds)
    }
    guard outcome.stage == EPC_STAGE_RAN else {
      throw .cannotStart(
        toolchain.compiler, step: .compile, errno: outcome.stageErrno)
    }
    throw output.error(for: source.path)
  }

  private func arguments(main: String, executable: String) -> [String] {
    var arguments = [toolchain.compiler, "-Onone", "-wmo", "-swift-version", "5"]
    arguments += ["-module-name", "EPCModelFile", "-no-color-diagnostics"]
    arguments += ["-module-cache-path", moduleCache ?? scratch.path + "/clang-modules"]
    if toolchain.hasLLD { arguments.append("-use-ld=lld") }
    arguments += ["-I", library.moduleDirectory, "-o", executable]
    return arguments + [source.argument] + source.modules.map(\.argument) + [main]
      + library.linkInputs
  }

  /// The environment of the compiler; its temporary files go where they will be removed.
  static func environment(from values: [String: String], temporary: String?) -> [String] {
    var environment = Environment.forCompiler.compactMap { name in
      values[name].map { "\(name)=\($0)" }
    }
    environment.append("LC_ALL=C")
    if let temporary { environment.append("TMPDIR=" + temporary) }
    return environment
  }
}
