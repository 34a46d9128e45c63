/// The cache key of a load: a digest of everything that its result depends on.
///
/// Complete, because the confined run can open nothing but the system's shared libraries.
struct LoadKey {
  /// Raise this when the loader begins to make other bytes from the same inputs.
  private static let loaderVersion = "1"

  /// The digest in hexadecimal, fit for a file name.
  let digest: String

  init(source: ModelSource, toolchain: Toolchain, library: ModelLibrary, entryPoint: String) {
    var fields = DigestFields()
    fields.add("loader", Self.loaderVersion)
    fields.add("version", toolchain.version)
    for file in toolchain.files { fields.add("compiler", file) }
    for path in toolchain.runtimeLibraryPaths { fields.add("runtime", path) }
    fields.add("module", library.moduleName)
    for file in library.files { fields.add("library", file) }
    fields.add("entry", entryPoint)
    fields.add("path", source.path)
    fields.add("source", source.text)
    for module in source.modules {
      fields.add("module path", module.path)
      fields.add("module source", module.text)
    }
    digest = fields.hexadecimal()
  }
}

/// A digest over named fields, each with its length, so that no two lists of fields look alike.
struct DigestFields {
  private var digest = SHA256()

  /// Adds a text.
  mutating func add(_ name: String, _ value: String) {
    digest.update("\(name) \(value.utf8.count)\n".utf8)
    digest.update(value.utf8)
  }

  /// Adds a file by what `stat` says of it, which spares reading it.
  mutating func add(_ name: String, _ file: Files.Identity) {
    add(name, file.path)
    add(
      name,
      "\(file.device) \(file.inode) \(file.size) \(file.modified) \(file.modifiedNanoseconds)")
  }

  /// The digest in hexadecimal.
  consuming func hexadecimal() -> String { digest.hexadecimal() }
}
