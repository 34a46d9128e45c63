import Glibc

extension ModelLoadError: CustomStringConvertible {
  /// The message as it goes to standard error: one line, or the compiler's own text.
  public var description: String {
    switch self {
    case .unreadable(let path, let code):
      "\(path): error: cannot be read: \(Files.text(code))"
    case .sourceTooLarge(let path, let limit):
      "\(path): error: larger than \(Self.size(limit)), which is too large for a model file"
    case .notUTF8(let path):
      "\(path): error: not UTF-8 text"
    case .unusableName(let path, .notSwift):
      "\(path): error: a model file's name ends in '.swift'"
    case .unusableName(let path, .main):
      "\(path): error: a model file cannot be called 'main.swift'; rename it"
    case .noCompiler(let tried):
      """
      error: \(tried.map { "'\($0)' is not a Swift compiler" } ?? "no swiftc in PATH"); install \
      Swift, or set EPC_SWIFTC, or pass a model JSON or a config.json, which need no compiler
      """
    case .compilerUnusable(let compiler, let detail):
      "error: '\(compiler) -print-target-info' failed\(Self.tail(detail))"
    case .noModelLibrary(let module, let searched):
      """
      error: the library \(module) is not in \(searched.joined(separator: " or ")); \
      set EPC_MODEL_LIBRARY_DIR
      """
    case .noScratch(let path, let code):
      "error: cannot create a temporary file in '\(path)': \(Files.text(code)); set TMPDIR"
    case .compileErrors(let path, let text):
      text.allSatisfy(\.isWhitespace) ? "\(path): error: the compiler failed without a word" : text
    case .noModel(let path):
      "\(path): error: no 'model' declared; add 'let model = Model(...) { ... }'"
    case .privateModel(let path):
      "\(path): error: 'model' is private; declare it as 'let model = Model(...) { ... }'"
    case .notAModel(let path, let type):
      "\(path): error: 'model' is of type '\(type)'; it has to be a 'Model'"
    case .compileTimeLimit(let path, let seconds):
      """
      \(path): error: still compiling after \(seconds) s; split large expressions, or write equal \
      layers as one range
      """
    case .cannotStart(let program, .run, EACCES):
      "error: cannot start '\(program)': \(Files.text(EACCES)); if that place is mounted noexec, set TMPDIR"
    case .cannotStart(let program, _, let code):
      "error: cannot start '\(program)': \(Files.text(code))"
    case .cannotConfine(let path, let code):
      """
      \(path): error: not run, since this kernel cannot confine it (\(Files.text(code))); pass a \
      model JSON instead
      """
    case .trapped(let path, let signal, let printed):
      "\(path): error: the model file \(Self.cause(signal))\(Self.tail(printed))"
    case .exited(let path, let status, let printed):
      "\(path): error: the model file exited with status \(status)\(Self.tail(printed))"
    case .timeLimit(let path, .cpu, let seconds):
      "\(path): error: the model file used more than \(Self.seconds(seconds)) of CPU time; is there an endless loop?"
    case .timeLimit(let path, .wall, let seconds):
      "\(path): error: the model file ran for more than \(Self.seconds(seconds)); does it wait for something?"
    case .outputTooLarge(let path, let limit):
      "\(path): error: the model is larger than \(Self.size(limit))"
    case .denied(let path, let call, let action):
      """
      \(path): error: the model file tried to \(action ?? "make a system call") \
      \(call.map { "(system call '\($0)'), " } ?? "")which model files may not
      """
    case .endedWithoutModel(let path, let printed):
      """
      \(path): error: the model file ended without a model; it must not exit by itself, and can \
      read no files\(Self.tail(printed))
      """
    case .badEnvelope(let path, .notAnEnvelope):
      "\(path): error: the model file wrote something that is not a model to descriptor 3"
    case .badEnvelope(let path, .version(let version)):
      """
      \(path): error: the model library writes envelope version \(version), this loader reads \
      version \(Envelope.version); install both from one release
      """
    case .badEnvelope(let path, .empty):
      "\(path): error: the model file wrote an empty model"
    case .interrupted:
      "error: interrupted"
    }
  }

  private static func cause(_ signal: Int32) -> String {
    switch signal {
    case SIGILL, SIGTRAP: "stopped at a failed check (\(name(signal)))"
    case SIGSEGV, SIGBUS: "crashed (\(name(signal))); is there an endless recursion?"
    default: "was ended by \(name(signal))"
    }
  }

  private static func name(_ signal: Int32) -> String {
    switch signal {
    case SIGABRT: "SIGABRT"
    case SIGBUS: "SIGBUS"
    case SIGFPE: "SIGFPE"
    case SIGILL: "SIGILL"
    case SIGKILL: "SIGKILL"
    case SIGPIPE: "SIGPIPE"
    case SIGSEGV: "SIGSEGV"
    case SIGTERM: "SIGTERM"
    case SIGTRAP: "SIGTRAP"
    default: "signal \(signal)"
    }
  }

  /// The last lines of what was printed, which is where Swift says "Fatal error: ...".
  private static func tail(_ printed: String) -> String {
    printed.split(whereSeparator: \.isNewline)
      // What follows are addresses, different ones each time.
      .prefix { $0 != "Current stack trace:" }
      .suffix(8).reduce(into: "") { $0 += "\n  " + $1 }
  }

  private static func size(_ bytes: Int) -> String {
    if bytes >= 1 << 20, bytes % (1 << 20) == 0 { return "\(bytes >> 20) MiB" }
    if bytes >= 1 << 10, bytes % (1 << 10) == 0 { return "\(bytes >> 10) KiB" }
    return "\(bytes) bytes"
  }

  private static func seconds(_ value: Double) -> String {
    value == value.rounded() ? "\(Int(value)) s" : "\(value) s"
  }
}
