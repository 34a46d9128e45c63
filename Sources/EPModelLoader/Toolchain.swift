import Glibc

/// The Swift compiler: where it is, which one it is, and where its runtime libraries are.
struct Toolchain {
  /// swiftc as it was found; it may be a link, and its name decides what it does.
  let compiler: String
  /// The files that it consists of, by which one compiler is told from another.
  let files: [Files.Identity]
  /// "Swift version 6.3 ..."
  let version: String
  /// Directories of the runtime's shared libraries.
  let runtimeLibraryPaths: [String]
  /// Whether the toolchain brings lld, the fastest linker.
  let hasLLD: Bool

  /// Finds swiftc and asks it about itself, or the cache if it has been asked before.
  static func locate(
    options: ModelFileOptions, cache: CacheDirectory?
  ) throws(ModelLoadError) -> Toolchain {
    let compiler = try find(options: options)
    let resolved = Files.resolved(compiler) ?? compiler
    let folder = Files.directory(of: resolved)
    let frontend = Files.identity(folder + "/swift-frontend")
    let files = [Files.identity(resolved), frontend].compactMap(\.self)
    // Without a frontend beside it this is a proxy (swiftly), which may lead to another compiler
    // the next time: ask again.
    let cache = frontend == nil ? nil : cache
    let information = try ToolchainInformation.get(
      compiler: compiler, files: files, environment: options.environment, cache: cache)
    return Toolchain(
      compiler: compiler, files: files, version: information.version,
      runtimeLibraryPaths: information.runtimeLibraryPaths,
      hasLLD: Files.identity(folder + "/ld.lld") != nil)
  }

  /// The explicit choice, `$EPC_SWIFTC`, or the first swiftc in `$PATH`; always an absolute path.
  private static func find(options: ModelFileOptions) throws(ModelLoadError) -> String {
    if let chosen = options.compiler ?? options.environment["EPC_SWIFTC"] {
      guard let found = executable(chosen) else { throw .noCompiler(tried: chosen) }
      return found
    }
    for folder in (options.environment["PATH"] ?? "").split(separator: ":") {
      if folder.hasPrefix("/"), let found = executable(folder + "/swiftc") { return found }
    }
    throw .noCompiler(tried: nil)
  }

  private static func executable(_ path: String) -> String? {
    guard let file = Files.identity(path), file.isRegular, unsafe access(path, X_OK) == 0
    else { return nil }
    if path.hasPrefix("/") { return path }
    // Relative to the working directory, which the compiler's run keeps; only the name must stay.
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return Files.resolved(Files.directory(of: path)).map { $0 + "/" + name }
  }
}
