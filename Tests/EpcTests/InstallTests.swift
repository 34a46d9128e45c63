import Foundation
import Testing

/// What an installation gives, with nothing but the installation.
@Suite struct InstallTests {
  /// A prefix with what the tests were built with.
  private static let prefix = Result { () throws -> (folder: Scratch, path: String) in
    let folder = try Scratch()
    let path = folder.path("prefix")
    let build = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().path()
    let run = try shell("scripts/install '\(path)' '\(build)'", in: package, environment: [:])
    try #require(run.status == 0, "\(run.output)")
    return (folder, path)
  }

  private static let package = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path()

  /// Runs commands in an empty folder that knows the prefix and, where the kernel lets us, with the
  /// checkout hidden behind an empty file system.
  private func use(
    _ commands: [String], copying template: String? = nil
  ) throws -> (status: Int32, output: String) {
    let prefix = try InstallTests.prefix.get().path
    let folder = try Scratch()
    let work = folder.path("work")
    let source = template.map { "\(prefix)/share/epc/\($0)" }
    let script =
      ["set -e", source.map { "cp -r '\($0)' '\(work)'" } ?? "mkdir '\(work)'", "cd '\(work)'"]
      + commands
    let file = folder.path("commands.sh")
    try script.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
    let hidden = "mount -t tmpfs none '\(InstallTests.package)'"
    let environment = [
      "PATH": "\(prefix)/bin:" + (ProcessInfo.processInfo.environment["PATH"] ?? ""),
      "PKG_CONFIG_PATH": "\(prefix)/lib/pkgconfig", "EPC_CACHE_DIR": folder.path("cache"),
      "EPC_HARDWARE_PATH": "",
    ]
    return try shell(
      "if unshare -m true 2>/dev/null; then unshare -m sh -c \"\(hidden) && bash '\(file)'\"; "
        + "else bash '\(file)'; fi", in: "/", environment: environment)
  }

  /// The indented lines of a template's README, which are what its user types.
  private func commands(of template: String) throws -> [String] {
    let prefix = try InstallTests.prefix.get().path
    let readme = "\(prefix)/share/epc/\(template)/README.md"
    return try String(contentsOfFile: readme, encoding: .utf8).split(separator: "\n")
      .filter { $0.hasPrefix("    ") }.map { String($0.dropFirst(4)) }
  }

  @Test func anInstalledCompilerCompilesAndRunsModels() throws {
    let run = try use([
      "epc clusters | grep -q h200",
      "cp $(pkg-config --variable=models epc)/tiny-k2.swift mine.swift",
      "epc compile mine.swift --dp 2 --ep 2 -o plan.json > log",
      "epc exec plan.json --weights synthetic:1 --tokens 1,2 --generate 3",
      "epc estimate $(pkg-config --variable=models epc)/k2.swift --cluster h200:32 | grep -qi step",
    ])
    #expect(run.status == 0, "\(run.output)")
    #expect(run.output.contains("prompt 0, 2 tokens:"), "\(run.output)")
  }

  @Test(arguments: ["c", "swift"])
  func theTemplatesReadmeWorksFromThePrefixAlone(template: String) throws {
    let folder = "templates/\(template)"
    let commands = try commands(of: folder)
    #expect(commands.count == 4)
    let run = try use(commands, copying: folder)
    #expect(run.status == 0, "\(run.output)")
    #expect(run.output.contains("template-\(template):"), "\(run.output)")
    #expect(run.output.contains(" 0 failed"))
    #expect(run.output.contains("operations agree"))
  }

  @Test func aModuleWithAnOperationOfItsOwnWorksFromThePrefixAlone() throws {
    let commands = try commands(of: "modules/snake")
    #expect(commands.count == 3)
    let more = [
      "epc exec plan.json --weights synthetic:1 --tokens 1,2 2>&1 | grep \"'snake' is no operation\"",
      "epc exec plan.json --backend simgpu > log", "epc estimate model.swift > log",
    ]
    let run = try use(commands + more, copying: "modules/snake")
    #expect(run.status == 0, "\(run.output)")
    #expect(run.output.contains("operations agree"), "\(run.output)")
  }

  @Test func anInstalledBackendHasAName() throws {
    let run = try use(
      [
        "cc -shared -fPIC $(pkg-config --cflags epc) backend.c -o libmine.so -lm",
        "install libmine.so $(pkg-config --variable=backends epc)/libabinamed.so",
        "epc backends", "rm $(pkg-config --variable=backends epc)/libabinamed.so",
      ], copying: "templates/c")
    #expect(run.status == 0, "\(run.output)")
    #expect(run.output.contains("libabinamed.so"), "\(run.output)")
  }
}

/// Runs a shell command; its status, and what it wrote to both outputs.
private func shell(
  _ command: String, in folder: String, environment: [String: String]
) throws -> (status: Int32, output: String) {
  let process = Process()
  process.executableURL = URL(filePath: "/bin/bash")
  process.arguments = ["-c", command]
  process.currentDirectoryURL = URL(filePath: folder)
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (process.terminationStatus, String(decoding: output, as: UTF8.self))
}
