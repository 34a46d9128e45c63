import Foundation
import Testing

/// Backends in shared libraries, as a user meets them.
@Suite struct BackendTests {
  /// A plan that takes no time to run.
  private static let plan = Result { () throws -> (folder: Scratch, path: String) in
    let folder = try Scratch()
    let path = folder.path("plan.json")
    let run = try epc(["compile", "models/tiny-k2.swift", "--dp", "2", "--ep", "2", "-o", path])
    try #require(run.status == 0, "\(run.errors)")
    return (folder, path)
  }

  private func exec(_ backend: String, _ more: [String] = []) throws -> (
    status: Int32, output: String, errors: String
  ) {
    let arguments = [
      "exec", try BackendTests.plan.get().path, "--backend", backend, "--weights", "synthetic:1",
      "--tokens", "1,2", "--generate", "2",
    ]
    return try epc(arguments + more)
  }

  /// What is wrong, as the fixture numbers it, and what the one line says.
  static let hostile: [(wrong: Int, says: String)] = [
    (1, "speaks version 2.1 of the backend ABI, this epc speaks 1."),
    (2, "says it has 88 bytes, and version 1.0 has 96"),
    (3, "says it has 18446744073709551615 bytes"),
    (4, "does not export 'epc_backend_query'"),
    (5, "prepare, run_operation must not be NULL"),
    (6, "its name is NULL"),
    (7, "its name is not 1 to 64 letters"),
    (8, "its precision is 77"),
    (9, "crashes when it is loaded: signal 11"),
    (10, "is not loaded within 1 s"),
    (11, "ends the process when it is loaded, with status 0"),
    (12, "crashes when it is loaded: signal 11"),
    (13, "refuses this epc: the coil is \u{FFFD}[31mcold"),
    (14, "refuses this epc: it does not say why"),
    (15, "cannot be opened: the coil is"),
    (16, "crashes when it is loaded: signal 11"),
    (17, "cannot run 'embed': not today"),
    (18, "the backend 'hostile' failed: prepare of 'embed': the coil is"),
    (19, "the backend 'hostile' failed: 'embed': the coil is"),
    (20, "the backend 'hostile' failed: 'embed': error 5"),
    (21, "the backend 'hostile' crashed in 'embed': signal 11"),
    (22, "the backend 'hostile' crashed in 'embed': signal 6"),
    (23, "the backend 'hostile' did not return from 'embed' within 1 s"),
    (24, "the backend 'hostile' called exit in 'embed'"),
  ]

  @Test(arguments: BackendTests.hostile)
  func aHostileBackendEndsWithOneClearMessage(wrong: Int, says: String) throws {
    let folder = try Scratch()
    let library = folder.path("libhostile.so")
    try compile(
      "Tests/EpcTests/Fixtures/hostile.c", to: library,
      ["-DWRONG=\(wrong)", "-DNAMED=\(wrong == 4 ? 0 : 1)"])
    let run = try exec(library, wrong == 10 || wrong == 23 ? ["--backend-timeout", "1"] : [])
    #expect(run.status == 1, "\(run)")
    #expect(run.output == "")
    #expect(run.errors.contains(says), "\(run.errors)")
    #expect(run.errors.hasPrefix("error: "))
    // One line, and nothing that makes a terminal do things.
    #expect(run.errors.filter { $0 == "\n" }.count == 1, "\(run.errors)")
    #expect(!run.errors.contains("\u{1B}"))
  }

  /// Backends that run whole programs are watched over as well; the numbers are the fixture's.
  @Test(arguments: [
    (12, "cannot run 'a whole program': too many experts"),
    (14, "the backend 'frozen' crashed in run_step: signal 11"),
    (15, "the backend 'frozen' did not return from run_step within 1 s"),
    (16, "the backend 'frozen' called exit in run_step"), (17, "run_step must not be NULL"),
  ])
  func aHostileProgramEndsWithOneClearMessage(mistake: Int, says: String) throws {
    let folder = try Scratch()
    let (model, plan) = (folder.path("model.swift"), folder.path("plan.json"))
    try """
    import EPModel
    let model = Model("small", vocabulary: 32, hidden: 16, precision: .fp32) {
      Embedding()
      Layers(0..<1) { Block {} feedForward: { SwiGLU(8) } }
      RMSNorm()
      LanguageModelHead()
    }
    """.write(toFile: model, atomically: true, encoding: .utf8)
    try #require(try epc(["compile", model, "--tp", "2", "-o", plan]).status == 0)
    let library = folder.path("libprogram.so")
    try compile(
      "Tests/EPPluginTests/Fixtures/abi-1.1/backend.c", to: library, ["-DMISTAKE=\(mistake)"])
    let run = try epc([
      "exec", plan, "--backend", library, "--backend-timeout", "1", "--weights", "synthetic:1",
      "--tokens", "1,2", "--generate", "2",
    ])
    #expect(run.status == 1, "\(run)")
    #expect(run.output == "")
    #expect(run.errors.hasPrefix("error: ") && run.errors.contains(says), "\(run.errors)")
    #expect(run.errors.filter { $0 == "\n" }.count == 1, "\(run.errors)")
  }

  @Test func whatIsNoLibraryIsRefused() throws {
    let folder = try Scratch()
    #expect(try exec("./nothing.so").errors.contains("./nothing.so: there is no such file"))
    let text = folder.path("text.so")
    try "hello".write(toFile: text, atomically: true, encoding: .utf8)
    #expect(try exec(text).errors.contains("cannot be loaded"))
    #expect(try exec("/tmp").errors.contains("cannot be loaded"))
    #expect(try exec("cpu", ["--backend-timeout", "0"]).errors.contains("it is at least 1"))
  }

  @Test func namesAreLookedUpInInstalledFoldersOnly() throws {
    let folder = try Scratch()
    let library = folder.path("libmine.so")
    try compile("plugins/template-c/backend.c", to: library)
    let home = (library as NSString).deletingLastPathComponent
    // Neither the folder the command runs in nor a relative one is ever searched.
    for path in ["", ".", "relative"] {
      let run = try epc(
        ["backends", "mine"], environment: ["EPC_BACKEND_PATH": path], directory: home)
      #expect(run.status == 1)
      let words = "no backend is called 'mine'; known are cpu, reference"
      #expect(run.errors.contains(words), "\(run.errors)")
    }
    let found = try epc(["backends"], environment: ["EPC_BACKEND_PATH": home])
    #expect(found.status == 0)
    #expect(found.output.contains("template-c  1.0      1."), "\(found.output)")
    #expect(found.output.contains("cpu"))
    #expect(try epc(["backends", library]).output.contains(library))
  }

  @Test func theTemplateRunsPlansAsTheProcessorDoes() throws {
    let folder = try Scratch()
    let library = folder.path("libtemplate.so")
    try compile("plugins/template-c/backend.c", to: library)
    let run = try exec(library, ["--check"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("operations agree"))
  }

  @Test func conformanceIsATableForPeopleAndMachines() throws {
    let text = try epc(["conformance", "--only", "affine"])
    #expect(text.status == 0)
    #expect(text.output.hasPrefix("operations  affine"))
    #expect(text.output.hasSuffix("cpu: 1 passed, 0 unsupported, 0 failed\n"))
    let run = try epc(["conformance", "--only", "affine", "--format", "json", "--dtype", "bf16"])
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(object["precision"] as? String == "bf16")
    #expect((object["rows"] as? [[String: Any]])?.first?["outcome"] as? String == "passed")
    // A process for each rank of a plan.
    let processes = try epc(["conformance", "--backend", "simgpu", "--only", "queries, both"])
    #expect(processes.status == 0, "\(processes.errors)")
    #expect(processes.output.contains("plans       grouped queries, both"))
    #expect(processes.output.hasSuffix("simgpu: 1 passed, 0 unsupported, 0 failed\n"))
    let none = try epc(["conformance", "--only", "nonsense"])
    #expect(none.status == 1 && none.errors.contains("nothing has 'nonsense'"))
  }
}

/// Compiles a backend of one file, as its README says.
func compile(_ source: String, to library: String, _ flags: [String] = []) throws {
  let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.currentDirectoryURL = package
  process.arguments =
    [
      "clang", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
      "-fvisibility=hidden", "-ISources/CEPBackend/include", source, "-o", library, "-lm",
    ] + flags
  try process.run()
  process.waitUntilExit()
  try #require(process.terminationStatus == 0)
}
