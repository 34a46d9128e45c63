/// Why a model file gave no model. `description` is what a user reads.
public enum ModelLoadError: Error, Sendable, Equatable {
  /// The file is missing or cannot be read.
  case unreadable(_ path: String, errno: Int32)
  /// The file is larger than the limit, in bytes.
  case sourceTooLarge(_ path: String, limit: Int)
  /// The file is not text.
  case notUTF8(_ path: String)
  /// The compiler does not take a file of this name.
  case unusableName(_ path: String, NameFault)
  /// No swiftc; `tried` is the one that was asked for.
  case noCompiler(tried: String?)
  /// swiftc does not say what it is.
  case compilerUnusable(_ compiler: String, detail: String)
  /// The compiled model library is not where it should be.
  case noModelLibrary(_ module: String, searched: [String])
  /// No temporary directory or file could be made.
  case noScratch(_ path: String, errno: Int32)
  /// The compiler refused the file; its words, verbatim.
  case compileErrors(_ path: String, text: String)
  /// The file compiles but declares no `model`.
  case noModel(_ path: String)
  /// `model` is there but cannot be seen from outside the file.
  case privateModel(_ path: String)
  /// `model` is something else than a `Model`.
  case notAModel(_ path: String, type: String)
  /// The compiler took too long.
  case compileTimeLimit(_ path: String, seconds: Int)
  /// A program could not be started.
  case cannotStart(_ program: String, step: LoadStep, errno: Int32)
  /// The kernel does not offer what confines a model.
  case cannotConfine(_ path: String, errno: Int32)
  /// A signal ended the model's run: a Swift trap, or an access to memory that is not there.
  case trapped(_ path: String, signal: Int32, printed: String)
  /// The model's run ended itself with an error.
  case exited(_ path: String, status: Int32, printed: String)
  /// The model's run took too long.
  case timeLimit(_ path: String, TimeKind, seconds: Double)
  /// The model wrote more than the limit, in bytes.
  case outputTooLarge(_ path: String, limit: Int)
  /// The model tried what model files may not do.
  case denied(_ path: String, call: String?, action: String?)
  /// The run ended well but nothing came out.
  case endedWithoutModel(_ path: String, printed: String)
  /// What came out is not a model's envelope.
  case badEnvelope(_ path: String, EnvelopeFault)
  /// SIGINT, SIGTERM or SIGHUP came; the signal is raised again once all is removed.
  case interrupted

  /// What is wrong with a file name.
  public enum NameFault: Sendable, Equatable {
    /// It does not end in `.swift`.
    case notSwift
    /// It is that of the generated entry point.
    case main
  }

  /// Which clock ran out.
  public enum TimeKind: Sendable, Equatable {
    /// The processor's.
    case cpu
    /// The one on the wall.
    case wall
  }

  /// What is wrong with an envelope.
  public enum EnvelopeFault: Error, Sendable, Equatable {
    /// It does not begin with the envelope's line.
    case notAnEnvelope
    /// It is of a version that this loader does not read.
    case version(Int)
    /// There is nothing in it.
    case empty
  }
}
