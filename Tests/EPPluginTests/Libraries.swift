import EPPlugin
import Foundation
import Testing

/// Libraries that the tests compile, each once.
enum Libraries {
  static let package = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path()

  /// Removed when the tests end.
  static let folder: String = {
    let path = NSTemporaryDirectory() + "epc-plugin-tests-\(getpid())"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    atexit { try? FileManager.default.removeItem(atPath: Libraries.folder) }
    return path
  }()

  /// `plugins/template-c`.
  static let template = Result { () throws -> String in
    try compile("plugins/template-c/backend.c", ["-ISources/CEPBackend/include"])
  }

  /// The backend of version 1.0, with the header of that version.
  static let frozen = Result { () throws -> String in
    try compile("Tests/EPPluginTests/Fixtures/abi-1.0/backend.c", [])
  }

  /// The backend of version 1.1, which runs whole programs; with a mistake, if one is given.
  static func program(mistake: Int = 0) throws -> String {
    try compile(
      "Tests/EPPluginTests/Fixtures/abi-1.1/backend.c", ["-DMISTAKE=\(mistake)"],
      named: "program-\(mistake)")
  }

  static func device(_ library: Result<String, any Error>) throws -> PluginDevice {
    let host = BackendHost(seconds: 60) { _, _ in }
    return try PluginDevice(try BackendLibrary(loading: try library.get(), host: host))
  }

  private static func compile(
    _ source: String, _ flags: [String], named name: String? = nil
  ) throws -> String {
    let name = name ?? source.split(separator: "/").dropLast().last.map(String.init) ?? "backend"
    let library = "\(folder)/lib\(name).so"
    try #require(
      run(
        ["clang", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"] + flags
          + [source, "-o", library, "-lm"]) == 0)
    return library
  }

  /// Runs a program in the package's folder; its exit status.
  static func run(_ arguments: [String]) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.currentDirectoryURL = URL(filePath: package)
    process.arguments = arguments
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}
