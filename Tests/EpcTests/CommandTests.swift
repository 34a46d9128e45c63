import Foundation
import Testing

/// The command as a user runs it.
@Suite struct CommandTests {
  @Test(arguments: [
    "compile", "exec", "estimate", "show", "balance", "verify", "model", "clusters", "calibrate",
    "references", "export", "backends",
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

  @Test func expertsArePlacedMovedAndSimulated() throws {
    let folder = try Scratch()
    let (placement, moved) = (folder.path("placement.json"), folder.path("moved.json"))
    let small = ["--experts", "16", "--layers", "3", "--expert-bytes", "1000000"]
    let placed = try epc(
      ["balance", "zipf:1.0", "--ranks", "8", "--redundant", "8", "-o", placement] + small)
    #expect(placed.status == 0, "\(placed.errors)")
    #expect(placed.output.contains("mean over fullest rank"))
    let migrated = try epc(
      ["balance", "migrate", "zipf:1.0@2", "--from", placement, "--budget", "20", "-o", moved]
        + small)
    #expect(migrated.status == 0 && migrated.output.contains("placed anew"), "\(migrated.errors)")
    #expect(FileManager.default.fileExists(atPath: moved))
    let replayed = try epc(
      ["balance", "simulate", "zipf:1.0@1", "zipf:1.0@2", "--ranks", "8", "--redundant", "8"]
        + small)
    #expect(replayed.status == 0 && replayed.output.contains("nothing"), "\(replayed.errors)")
    let replicas = try epc(
      ["balance", "replicas", "zipf:1.0", "--ranks", "8", "--memory", "0.02"] + small)
    #expect(replicas.status == 0 && replicas.output.contains("chosen"), "\(replicas.errors)")
    let plan = folder.path("plan.json")
    let loads = ["--loads", "zipf:1.0@3"]
    let tiny = ["models/tiny-deepseek.swift", "--dp", "2", "--ep", "2"]
    #expect(try epc(["compile"] + tiny + loads + ["-o", plan]).status == 0)
    #expect(try epc(["estimate"] + tiny + loads).status == 0)
    let run = try epc(
      [
        "exec", plan, "--weights", "synthetic:1", "--tokens", "1,2", "--generate", "2", "--check",
        "--loads", "zipf:1.0@4",
      ])
    #expect(run.status == 0, "\(run.errors)")
    let fromPlan = try epc(
      ["balance", "migrate", "zipf:1.0@5", "--from", plan, "--model", "models/tiny-deepseek.swift"])
    #expect(fromPlan.status == 0, "\(fromPlan.errors)")
  }

  @Test(arguments: [
    (["zipf:1.0", "--ranks", "8"], "give '--model' or '--experts'"),
    (["zipf:1", "--experts", "8"], "'--ranks' is missing"),
    (["none.csv", "--ranks", "8"], "none.csv"),
    (
      ["replicas", "uniform", "--experts", "8", "--ranks", "2", "--memory", "1"], "'--expert-bytes'"
    ),
    (["migrate", "uniform", "--experts", "8", "--from", "README.md"], "README.md: error:"),
  ])
  func balanceSaysWhatIsMissing(arguments: [String], words: String) throws {
    let run = try epc(["balance"] + arguments)
    #expect(run.status == 1 && run.output == "")
    #expect(run.errors.contains(words), "\(run.errors)")
  }

  @Test func aPlanIsCheckedAndWrittenForEngines() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/k2.swift", "-o", plan])
    let verified = try epc(["verify", plan, "--for", "sglang"])
    #expect(verified.status == 0 && verified.output.contains("64 heads over 1 tensor ranks"))
    let launch = folder.path("launch")
    let written = try epc(["export", plan, "--to", "sglang", "-o", launch, "--hosts", "a,b"])
    #expect(written.status == 0, "\(written.errors)")
    #expect(written.output.contains("unified-0-node-0 to unified-0-node-1, on a to b"))
    let script = try String(contentsOfFile: launch + "/unified-0-node-1.sh", encoding: .utf8)
    #expect(script.contains("--dist-init-addr a:20000") && script.contains("--node-rank 1"))
    let refused = try epc(["export", plan, "--to", "vllm", "-o", launch])
    #expect(refused.status == 1 && refused.errors.contains("none of this export's files"))
    let data = try epc(["export", plan, "--to", "vllm", "--format", "json"])
    #expect(try JSONSerialization.jsonObject(with: Data(data.output.utf8)) is [String: Any])
    // More sequences than low-latency dispatch takes: refused, with the fix, and nothing written.
    _ = try epc([
      "compile", "models/k2.swift", "--phase", "decode", "--ep", "128", "--batch", "1100",
      "--context", "512", "-o", plan,
    ])
    let other = folder.path("other")
    let failed = try epc(["export", plan, "--to", "sglang", "-o", other])
    #expect(failed.status == 1)
    #expect(failed.errors.contains("[preflight-dispatch-tokens]"), "\(failed.errors)")
    #expect(!FileManager.default.fileExists(atPath: other))
    #expect(try epc(["verify", plan, "--for", "sglang"]).status == 1)
    #expect(try epc(["verify", plan, "--for", "trtllm"]).status == 0)
  }

  @Test func wrongFlagsEndWith64() throws {
    #expect(try epc(["compile", "models/tiny-k2.swift", "--ep", "x"]).status == 64)
    #expect(try epc(["nonsense"]).status == 64)
  }
}

/// A folder that is gone when the test ends.
final class Scratch: Sendable {
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
  _ arguments: [String], environment: [String: String] = [:], directory: String? = nil,
  under launcher: [String] = []
) throws -> (status: Int32, output: String, errors: String) {
  let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let products = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
  let process = Process()
  let words = launcher + [products.appending(path: "epc").path()] + arguments
  process.executableURL = URL(filePath: words[0])
  process.arguments = Array(words.dropFirst())
  process.currentDirectoryURL = directory.map { URL(filePath: $0) } ?? package
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
