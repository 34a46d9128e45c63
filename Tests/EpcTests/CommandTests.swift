import Foundation
import Testing

/// The command as a user runs it.
@Suite struct CommandTests {
  @Test(arguments: [
    "compile", "exec", "estimate", "show", "balance", "verify", "model", "clusters", "calibrate",
    "references", "search", "validate",
  ])
  func everySubcommandHasHelp(name: String) throws {
    let run = try epc([name, "--help"])
    #expect(run.status == 0)
    #expect(run.output.contains("USAGE: epc \(name)"))
    #expect(run.errors == "")
  }

  @Test func aModelFileBecomesAPlanThatRuns() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    let compiled = try epc(["compile", "models/tiny-deepseek.swift", "--ep", "2", "-o", plan])
    #expect(compiled.status == 0, "\(compiled.errors)")
    #expect(compiled.output.contains("3 MoE + 1 dense"))
    #expect(try epc(["verify", plan]).output.contains("well-formed, 2 ranks"))
    #expect(try epc(["show", plan]).output.contains("tiny-deepseek"))
    #expect(try epc(["show", plan, "--rank", "1"]).output.contains("expert rank 1 of 2"))
    #expect(try epc(["show", plan, "--graph", "-"]).output.hasPrefix("digraph"))
    let run = try epc([
      "exec", plan, "--weights", "synthetic:1", "--tokens", "1,2,3", "--generate", "4", "--check",
    ])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("operations agree"))
  }

  @Test func meshesMakeTheSameTokens() throws {
    let folder = try Scratch()
    var made: Set<String> = []
    for flags in [["--ep", "1"], ["--dp", "2", "--tp", "2", "--ep", "4"]] {
      let plan = folder.path("plan.json")
      _ = try epc(["compile", "models/tiny-k2.swift", "-o", plan] + flags)
      let run = try epc([
        "exec", plan, "--weights", "synthetic:7", "--tokens", "5,6", "--generate", "6", "--format",
        "json",
      ])
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
      let prompts = try #require(object["prompts"] as? [[String: Any]])
      let tokens = try #require(prompts[0]["tokens"] as? [Int])
      #expect(tokens.count == 6)
      made.insert("\(tokens)")
    }
    #expect(made.count == 1)
  }

  @Test func theSameInputGivesTheSameBytes() throws {
    let first = try epc(["compile", "models/tiny-k2.swift", "-o", "-"])
    let second = try epc(["compile", "models/tiny-k2.swift", "-o", "-"])
    #expect(first.output == second.output)
    #expect(first.output.hasPrefix("{\n  \"epc_plan\""))
    #expect(!first.output.contains(FileManager.default.currentDirectoryPath))
  }

  @Test func sizesInTheEnvironmentStandBelowFlags() throws {
    let environment = ["EP_SIZE": "4", "DP_SIZE": "4"]
    let plain = try epc(["compile", "models/tiny-k2.swift"], environment: environment)
    #expect(plain.output.contains("ep 4"))
    let flags = try epc(
      ["compile", "models/tiny-k2.swift", "--ep", "2", "--dp", "2"], environment: environment)
    #expect(flags.output.contains("ep 2"))
    let wrong = try epc(["compile", "models/tiny-k2.swift"], environment: ["EP_SIZE": "many"])
    #expect(wrong.status == 1 && wrong.errors.contains("EP_SIZE is 'many'"))
  }

  @Test(arguments: [
    (["compile", "nothing.swift"], "nothing.swift: error: cannot be read"),
    (["compile", "models/tiny-k2.swift", "--cluster", "h900:8"], "no hardware is called 'h900'"),
    (["compile", "models/tiny-k2.swift", "--tp", "3"], "take '--tp"),
    (["compile", "models/tiny-k2.swift", "--prefill", "ep=2"], "come together"),
    (["verify", "README.md"], "README.md: error:"),
    (["exec", "README.md"], "README.md: error:"),
  ])
  func mistakesEndWithOneErrorAndNothingWritten(arguments: [String], words: String) throws {
    let folder = try Scratch()
    let target = folder.path("out.json")
    let output = arguments[0] == "compile" ? ["-o", target] : []
    let run = try epc(arguments + output)
    #expect(run.status == 1)
    #expect(run.errors.contains(words), "\(run.errors)")
    #expect(run.output == "")
    #expect(!FileManager.default.fileExists(atPath: target))
  }

  @Test func wrongFlagsEndWith64() throws {
    #expect(try epc(["compile", "models/tiny-k2.swift", "--ep", "x"]).status == 64)
    #expect(try epc(["nonsense"]).status == 64)
  }
}

/// A folder that is gone when the test ends.
final class Scratch {
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "epc-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func path(_ name: String) -> String { folder.appending(path: name).path() }
}

/// Runs the command that was built with the tests, in the package's folder.
func epc(
  _ arguments: [String], environment: [String: String] = [:]
) throws -> (status: Int32, output: String, errors: String) {
  let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let products = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
  let process = Process()
  process.executableURL = products.appending(path: "epc")
  process.arguments = arguments
  process.currentDirectoryURL = package
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  let (output, errors) = (Pipe(), Pipe())
  process.standardOutput = output
  process.standardError = errors
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let text = output.fileHandleForReading.readDataToEndOfFile()
  let problems = errors.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (
    process.terminationStatus, String(decoding: text, as: UTF8.self),
    String(decoding: problems, as: UTF8.self)
  )
}
