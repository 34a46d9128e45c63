/// How to load a model file; the defaults are right for the `epc` command.
public struct ModelFileOptions: Sendable {
  /// Path of swiftc; otherwise `$EPC_SWIFTC`, otherwise the first swiftc in `$PATH`.
  public var compiler: String?
  /// Where the model library is; otherwise `$EPC_MODEL_LIBRARY_DIR`, otherwise beside the executable.
  public var libraryDirectory: String?
  /// Module name of the model library.
  public var libraryModule: String = "EPModel"
  /// Where results are cached; otherwise `$EPC_CACHE_DIR`, `$XDG_CACHE_HOME/epc` or `~/.cache/epc`.
  public var cacheDirectory: String?
  /// Whether results are read from and written to the cache; the compiler's own modules are anyway.
  public var usesCache: Bool = true
  /// How many models the cache keeps before the one that was not used longest is removed.
  public var cacheEntries: Int = 256
  /// The text of the generated `main.swift`.
  public var entryPoint: String = """
    import EPModel
    emitModel(model, descriptor: 3)

    """
  /// The bounds of the compiler and of the model's run.
  public var limits: ModelFileLimits = ModelFileLimits()
  /// Run a model although the kernel has no landlock, so that it could read the user's files.
  public var acceptsMissingLandlock: Bool = false
  /// The environment variables to go by.
  public var environment: [String: String] = Environment.current

  /// Makes the default options.
  public init() {}
}

/// The bounds of loading a model file.
public struct ModelFileLimits: Sendable {
  /// Size of a model file.
  public var sourceBytes: Int = 4 << 20
  /// Wall time of the compiler.
  public var compileSeconds: Int = 120
  /// Address space of each of the compiler's processes.
  public var compileMemoryBytes: Int = 32 << 30
  /// CPU time of the model's run.
  public var cpuSeconds: Int = 10
  /// Wall time of the model's run, in milliseconds.
  public var wallMilliseconds: Int = 30_000
  /// Address space of the model's run.
  public var memoryBytes: Int = 4 << 30
  /// Size of the model's JSON, envelope included.
  public var outputBytes: Int = 64 << 20

  /// Makes the default limits.
  public init() {}
}
