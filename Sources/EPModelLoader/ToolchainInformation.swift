import EPJSON
import EPSystem

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
    guard outcome.succeeded else { throw .compilerUnusable(compiler, detail: outcome.error) }
    do throws(JSONError) {
      let answer = JSONNode(try JSONValue.parse(bytes: outcome.output))
      var paths: [String] = []
      for element in try answer["paths"]["runtimeLibraryPaths"].array(maxCount: 64) {
        let path = try element.string(maxLength: 4096)
        if path.contains("\n") { throw element.fail("a path has a line break") }
        paths.append(path)
      }
      let version = try answer["compilerVersion"].string(maxLength: 4096)
      return ToolchainInformation(
        version: version.split(separator: "\n").joined(separator: " "), runtimeLibraryPaths: paths)
    } catch { throw .compilerUnusable(compiler, detail: error.description) }
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
