import Glibc

/// The environment variables that loading a model file depends on.
enum Environment {
  /// Variables that the compiler is started with: what it needs to be found and to find its parts.
  /// Not those that would change its result behind the cache's back (CPATH, SDKROOT and the like).
  static let forCompiler = [
    "HOME", "LD_LIBRARY_PATH", "PATH", "SWIFTLY_BIN_DIR", "SWIFTLY_HOME_DIR",
    "SWIFTLY_TOOLCHAINS_DIR",
  ]

  private static let forLoader = [
    "EPC_CACHE_DIR", "EPC_MODEL_LIBRARY_DIR", "EPC_SWIFTC", "TMPDIR", "XDG_CACHE_HOME",
  ]

  /// The values of this process; empty ones count as missing.
  static var current: [String: String] {
    var values: [String: String] = [:]
    for name in forCompiler + forLoader {
      guard let value = unsafe getenv(name) else { continue }
      let text = unsafe String(cString: value)
      if !text.isEmpty { values[name] = text }
    }
    return values
  }
}
