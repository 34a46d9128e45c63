import Foundation
import Testing

/// Runs of `simgpu` with tensors in which something goes wrong: what is made must be what `cpu` makes.
@Suite struct RecoveryTests {
  /// A model, how it is spread, a fault, and what else is asked for.
  struct Case: CustomTestStringConvertible, Sendable {
    var flags: [String]
    var processes: String
    var kind: String
    var rank: Int
    var spares = 0
    var more: [String] = []

    var testDescription: String { "\(kind) of rank \(rank), \(flags), \(spares) spares \(more)" }
  }

  static let cases: [Case] = [
    Case(flags: ["--ep", "2"], processes: "2", kind: "lost_rank", rank: 0),
    Case(flags: ["--ep", "2"], processes: "1", kind: "device_error", rank: 1, spares: 1),
    Case(flags: ["--ep", "4"], processes: "2", kind: "hung_collective", rank: 3),
    Case(flags: ["--ep", "4"], processes: "2", kind: "slow_rank", rank: 2),
    Case(flags: ["--ep", "8"], processes: "3", kind: "lost_rank", rank: 5),
    Case(flags: ["--ep", "8"], processes: "2", kind: "device_error", rank: 7),
    Case(flags: ["--ep", "8"], processes: "2", kind: "hung_collective", rank: 6, spares: 1),
    Case(flags: ["--ep", "8"], processes: "2", kind: "slow_link", rank: 1),
    Case(
      flags: ["--dp", "2", "--tp", "2", "--ep", "4"], processes: "2", kind: "lost_rank", rank: 3,
      spares: 1),
    Case(
      flags: ["--ep", "4", "--mtp", "1"], processes: "2", kind: "lost_rank", rank: 1,
      more: ["--speculate", "1"]),
    Case(
      flags: ["--prefill", "ep=2,dp=2,tp=1", "--decode", "ep=4,dp=4,batch=2"], processes: "2",
      kind: "lost_rank", rank: 4),
  ]

  @Test(arguments: cases) func whatGoesOnIsWhatWouldHaveBeen(_ one: Case) throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    let compiled = try epc(["compile", "models/tiny-deepseek.swift", "-o", plan] + one.flags)
    #expect(compiled.status == 0, "\(compiled.errors)")
    let faults = folder.path("faults.json")
    try Data(
      """
      {"timeout_ms": 3000, "faults": [{"kind": "\(one.kind)", "rank": \(one.rank), "step": 3}]}
      """.utf8
    ).write(to: URL(filePath: faults))
    let prompts = folder.path("prompts.json")
    try Data("[[1,2,3,4,5,6],[7,8],[9,10,11]]".utf8).write(to: URL(filePath: prompts))
    let run =
      ["exec", plan, "--weights", "synthetic:3", "--tokens-file", prompts, "--generate", "8"]
      + one.more
    let (alone, output) = (folder.path("cpu.safetensors"), folder.path("simgpu.safetensors"))
    let reference = try epc(run + ["--output", alone])
    #expect(reference.status == 0, "\(reference.errors)")
    let faulty =
      run + [
        "--backend", "simgpu", "--processes", one.processes, "--faults", faults, "--output", output,
      ]
    let isFatal = !one.kind.hasPrefix("slow")
    if isFatal {
      let ended = try epc(faulty)
      #expect(ended.status == 1)
      #expect(ended.errors.contains("rank \(one.rank), step 3"), "\(ended.errors)")
      #expect(!FileManager.default.fileExists(atPath: output))
    }
    let result = try epc(faulty + ["--recover", "--spares", "\(one.spares)"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(
      try Data(contentsOf: URL(filePath: output)) == Data(contentsOf: URL(filePath: alone)))
    let line = try #require(result.output.split(separator: "\n").first { $0.hasPrefix("fault:") })
    #expect(line.contains("rank \(one.rank), step 3"), "\(line)")
    #expect(line.contains("noticed after"))
    if isFatal {
      #expect(line.contains(one.spares > 0 ? "a spare took over in" : "survivors took over in"))
    }
    #expect(try processes(with: plan).isEmpty)
  }

  /// A process that somebody kills is replaced: no device is lost.
  @Test func killedProcessesAreReplaced() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-k2.swift", "--ep", "4", "-o", plan])
    let run = ["exec", plan, "--weights", "synthetic:1", "--tokens", "1,2", "--generate", "400"]
    let process = Process()
    let products = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    process.executableURL = products.appending(path: "epc")
    process.arguments = run + ["--backend", "simgpu", "--processes", "2", "--recover"]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let first = Int(process.processIdentifier)
    var workers: [Int] = []
    while process.isRunning && workers.count < 2 {
      workers = try processes(with: plan).filter { $0 != first }
      usleep(10_000)
    }
    kill(pid_t(try #require(workers.last)), SIGKILL)
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let reference = try epc(run)
    #expect(text.split(separator: "\n").first == reference.output.split(separator: "\n").first)
    #expect(text.contains("a new process took over in"), "\(text)")
    #expect(try processes(with: plan).isEmpty)
  }
}
