internal import Glibc

/// Where installed backends are.
public struct BackendCatalog: Sendable {
  /// The folders, searched in order; each backend is a file `lib<name>.so`.
  public var folders: [String]

  /// Makes a catalog of the given folders.
  public init(folders: [String]) { self.folders = folders }

  /// The folders of `EPC_BACKEND_PATH` (separated by colons, absolute ones only), then
  /// `../lib/epc/backends` beside the executable. Never the current folder.
  public static func standard(
    environment: [String: String], executable: String
  ) -> BackendCatalog {
    var folders =
      environment["EPC_BACKEND_PATH"]?.split(separator: ":").map(String.init)
      .filter { $0.hasPrefix("/") } ?? []
    let parts = executable.split(separator: "/")
    if parts.count >= 2 {
      folders.append("/" + (parts.dropLast(2) + ["lib", "epc", "backends"]).joined(separator: "/"))
    }
    return BackendCatalog(folders: folders)
  }

  /// The names of all backends, ascending.
  public var names: [String] {
    var names: Set<String> = []
    for folder in folders {
      guard let directory = unsafe opendir(folder) else { continue }
      defer { unsafe closedir(directory) }
      while let entry = unsafe readdir(directory) {
        let file = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if file.hasPrefix("lib"), file.hasSuffix(".so"), file.utf8.count > 6 {
          names.insert(String(file.dropFirst(3).dropLast(3)))
        }
      }
    }
    return names.sorted()
  }

  /// The library that a flag names: a path with a slash in it, or an installed backend.
  public func path(of name: String, builtIn: [String]) throws(PluginError) -> String {
    if name.contains("/") { return name }
    for folder in folders where !name.isEmpty {
      let path = "\(folder)/lib\(name).so"
      if unsafe access(path, F_OK) == 0 { return path }
    }
    throw .unknownName(name, known: builtIn + names, folders: folders)
  }
}
