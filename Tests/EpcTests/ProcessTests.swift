import Foundation
import Testing

/// Runs of `simgpu` with tensors: several processes must make the bits that one makes.
@Suite struct ProcessTests {
  /// The flags that spread a tiny model, and over how many processes its ranks lie.
  @Test(arguments: [
    ("models/tiny-deepseek.swift", ["--ep", "2"], ["2"]),
    ("models/tiny-k2.swift", ["--ep", "8"], ["3"]),
    ("models/tiny-deepseek.swift", ["--dp", "2", "--tp", "2", "--ep", "4"], ["3"]),
    ("models/tiny-k2.swift", ["--pp", "2", "--dp", "2", "--ep", "2"], ["4"]),
    (
      "models/tiny-deepseek.swift",
      ["--prefill", "ep=2,dp=1,tp=2", "--decode", "ep=4,dp=4,batch=2"], ["2"]
    ),
  ])
  func processesMakeTheSameBits(model: String, flags: [String], counts: [String]) throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    let compiled = try epc(["compile", model, "-o", plan] + flags)
    #expect(compiled.status == 0, "\(compiled.errors)")
    let prompts = folder.path("prompts.json")
    try Data("[[1,2,3,4,5,6],[7,8],[9,10,11]]".utf8).write(to: URL(filePath: prompts))
    let run = [
      "exec", plan, "--weights", "synthetic:3", "--tokens-file", prompts, "--generate", "5",
    ]
    let alone = folder.path("cpu.safetensors")
    let reference = try epc(run + ["--output", alone])
    #expect(reference.status == 0, "\(reference.errors)")
    for count in counts {
      let output = folder.path("simgpu.safetensors")
      let result = try epc(
        run + ["--backend", "simgpu", "--processes", count, "--output", output])
      #expect(result.status == 0, "\(result.errors)")
      #expect(
        try Data(contentsOf: URL(filePath: output)) == Data(contentsOf: URL(filePath: alone)),
        "\(model) \(flags) over \(count) processes")
      // Counters are those of all processes.
      let traffic = { (text: String) in
        text.split(separator: "\n").filter { $0.hasPrefix("dispatch") }
      }
      #expect(traffic(result.output) == traffic(reference.output))
    }
    #expect(try processes(with: plan).isEmpty)
  }

  @Test func moreProcessesThanRanksAreRefused() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-deepseek.swift", "--ep", "2", "-o", plan])
    let run = try epc([
      "exec", plan, "--weights", "synthetic:1", "--tokens", "1", "--backend", "simgpu",
      "--processes", "3",
    ])
    #expect(run.status == 1)
    #expect(run.errors.contains("'--processes 3' for 2 rank(s)"))
  }

  /// What a run does not do is said, not left out.
  @Test func flagsOfOtherRunsAreRefused() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-deepseek.swift", "--ep", "2", "-o", plan])
    let faults = folder.path("faults.json")
    try Data(#"{"faults": [{"kind": "lost_rank", "rank": 1, "step": 20}]}"#.utf8)
      .write(to: URL(filePath: faults))
    let weights = ["--weights", "synthetic:1", "--tokens", "1"]
    for (flags, reason) in [
      (weights + ["--report", folder.path("x.html")], "'--report' is of a run without tensors"),
      (weights + ["--faults", faults], "'--faults' is of simulated devices"),
      (["--weights", "synthetic:one", "--tokens", "1"], "write a whole number, as in synthetic:1"),
      (["--backend", "simgpu", "--output", "x"], "'--output' is of a run with tensors"),
      (["--backend", "simgpu", "--faults", faults], "add '--steps 21'"),
    ] {
      let run = try epc(["exec", plan] + flags)
      #expect(run.status == 1)
      #expect(run.errors.contains(reason), "\(run.errors)")
    }
  }

  @Test func moreMemoryThanThereIsIsRefused() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/k2.swift", "--cluster", "h200:32", "-o", plan])
    let run = try epc([
      "exec", plan, "--weights", "synthetic:1", "--tokens", "1", "--backend", "cpu", "--memory",
      "999TiB",
    ])
    #expect(run.status == 1)
    #expect(run.errors.contains("are free; give at most as much"), "\(run.errors)")
  }

  /// Whichever process is killed, the others end at once and say what happened.
  @Test(arguments: [false, true]) func killedProcessesLeaveNothingBehind(isFirst: Bool) throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-k2.swift", "--ep", "4", "-o", plan])
    let process = Process()
    let products = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    process.executableURL = products.appending(path: "epc")
    process.arguments = [
      "exec", plan, "--weights", "synthetic:1", "--tokens", "1,2", "--generate", "1000000",
      "--backend", "simgpu", "--processes", "3", "--temperature", "1",
    ]
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let first = Int(process.processIdentifier)
    var workers: [Int] = []
    while process.isRunning && workers.count < 2 {
      workers = try processes(with: plan).filter { $0 != first }
      usleep(10_000)
    }
    let victim = isFirst ? first : try #require(workers.last)
    kill(pid_t(victim), SIGKILL)
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    if isFirst {
      #expect(process.terminationReason == .uncaughtSignal)
    } else {
      #expect(process.terminationStatus == 1)
      #expect(text.contains("was killed by signal 9"), "\(text)")
    }
    // Their parent's end is theirs; the system takes a moment to deliver it.
    for _ in 0..<500 where try !processes(with: plan).isEmpty { usleep(10_000) }
    #expect(try processes(with: plan).isEmpty)
  }

  /// An error of one rank ends the run of all, with its reason.
  @Test func errorsOfOneProcessEndAll() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc([
      "compile", "models/tiny-deepseek.swift", "--ep", "4", "--capacity-factor", "1",
      "--tokens-per-gpu", "64", "-o", plan,
    ])
    let prompt = (0..<60).map { _ in "7" }.joined(separator: ",")
    let run = try epc([
      "exec", plan, "--weights", "synthetic:1", "--tokens", prompt, "--backend", "simgpu",
      "--processes", "2", "--generate", "1",
    ])
    let alone = try epc([
      "exec", plan, "--weights", "synthetic:1", "--tokens", prompt, "--generate", "1",
    ])
    #expect(run.status == alone.status)
    if alone.status != 0 { #expect(run.errors.contains("room for"), "\(run.errors)") }
    #expect(try processes(with: plan).isEmpty)
  }
}

/// The processes whose command line holds some text, zombies left out.
func processes(with text: String) throws -> [Int] {
  try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int($0) }.filter { id in
    let line = (try? Data(contentsOf: URL(filePath: "/proc/\(id)/cmdline"))) ?? Data()
    return id != Int(getpid()) && String(decoding: line, as: UTF8.self).contains(text)
  }
}
