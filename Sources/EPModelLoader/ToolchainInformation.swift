import CEPSystem
import FoundationEssentials

/// What `swiftc -print-target-info` says, as far as it is of use here.
struct ToolchainInformation {
  private static let kind = "toolchains"

  let version: String
  let runtimeLibraryPaths: [String]

  /// From the cache, or from the compiler and then into the cache.
  static func get(
    compiler: String, files: [Files.Identity], environment: [String: String],
    cache: CacheDirectory?
  ) throws(ModelLoadError) -> ToolchainInformation {
    var fields = DigestFields()
    fields.add("compiler", compiler)
    for file in files { fields.add("file", file) }
    let name = fields.hexadecimal()
    if let bytes = cache?.read(kind, name), let known = ToolchainInformation(lines: bytes) {
      return known
    }
    let asked = try ask(compiler, environment: environment)
    cache?.write(kind, name, asked.lines)
    return asked
  }

  private static func ask(
    _ compiler: String, environment: [String: String]
  ) throws(ModelLoadError) -> ToolchainInformation {
    let outcome = ProgramRun(
      program: compiler, arguments: [compiler, "-print-target-info"],
      environment: CompileModel.environment(from: environment, temporary: nil),
      outputDescriptor: 1, outputLimit: 1 << 20, wallMilliseconds: 60_000, cpuSeconds: 60
    ).run(interrupts: nil)
    guard outcome.succeeded,
      let answer = try? JSONDecoder().decode(Answer.self, from: Data(outcome.output)),
      !answer.paths.runtimeLibraryPaths.contains(where: { $0.contains("\n") })
    else {
      throw .compilerUnusable(compiler, detail: outcome.error)
    }
    return ToolchainInformation(
      version: answer.compilerVersion.split(separator: "\n").joined(separator: " "),
      runtimeLibraryPaths: answer.paths.runtimeLibraryPaths)
  }

  private struct Answer: Decodable {
    struct Paths: Decodable {
      var runtimeLibraryPaths: [String]
    }
    var compilerVersion: String
    var paths: Paths
  }

  private var lines: [UInt8] {
    Array(([version] + runtimeLibraryPaths).joined(separator: "\n").utf8)
  }

  private init(version: String, runtimeLibraryPaths: [String]) {
    self.version = version
    self.runtimeLibraryPaths = runtimeLibraryPaths
  }

  private init?(lines: [UInt8]) {
    let parts = String(decoding: lines, as: UTF8.self).split(separator: "\n").map(String.init)
    guard let version = parts.first else { return nil }
    self.init(version: version, runtimeLibraryPaths: Array(parts.dropFirst()))
  }
}
