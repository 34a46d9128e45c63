import Foundation
import Testing

@testable import EPModelLoader

/// What a user reads when a load fails.
@Suite struct LoadErrorTests {
  @Test(arguments: [
    ("let other = 1", "x.swift: error: no 'model' declared; add 'let model = Model(...) { ... }'"),
    (
      "private let model = Model(\"a\")",
      "x.swift: error: 'model' is private; declare it as 'let model = Model(...) { ... }'"
    ),
    ("let model = 3", "x.swift: error: 'model' is of type 'Int'; it has to be a 'Model'"),
  ])
  func errorsAboutTheEntryPointAreTheUsersOwn(text: String, message: String) throws {
    #expect(try ModelFile(text).failure() == message)
  }

  @Test func compilerIsQuotedVerbatim() throws {
    #expect(
      try ModelFile("let model = Model(\"a\" + nothing)").failure() == """
        x.swift:2:25: error: cannot find 'nothing' in scope
        1 | import EPModel
        2 | let model = Model("a" + nothing)
          |                         `- error: cannot find 'nothing' in scope
        3 |\u{20}

        """)
    // An own mistake and none of the generated file's.
    let both = try ModelFile("private let model = Model(nothing)").failure()
    #expect(both.hasPrefix("x.swift:2:27: error: cannot find 'nothing' in scope\n"))
    #expect(!both.contains("main.swift"))
    #expect(!both.contains("private' protection"))
    let statement = try ModelFile("let model = Model(\"a\")\nprint(1)").failure()
    #expect(statement.hasPrefix("x.swift:3:1: error: expressions are not allowed at the top level"))
  }

  @Test func trapShowsSwiftsOwnWords() throws {
    let file = try ModelFile("let model = Model(\"a\") { fatalError(\"no such layer\") }")
    let message = file.failure()
    #expect(message.hasPrefix("x.swift: error: the model file stopped at a failed check (SIG"))
    #expect(message.contains("x.swift:2: Fatal error: no such layer"))
    let index = try ModelFile("let model = Model(\"a\") { _ = [1][Int(\"4\")!] }").failure()
    #expect(index.contains("Fatal error: Index out of range"))
    let recursion = try ModelFile(
      "func f(_ n: Int) -> Int { 1 + f(n + 1) }\nlet model = Model(\"\\(f(0))\")"
    ).failure()
    #expect(
      recursion
        == "x.swift: error: the model file crashed (SIGSEGV); is there an endless recursion?")
  }

  @Test func endlessLoopNamesTheLimit() throws {
    var file = try ModelFile("let model = Model(\"a\") { while true {} }")
    file.options.limits.cpuSeconds = 1
    #expect(
      file.failure()
        == "x.swift: error: the model file used more than 1 s of CPU time; is there an endless loop?"
    )
    file.options.limits.wallMilliseconds = 500
    #expect(
      file.failure()
        == "x.swift: error: the model file ran for more than 0.5 s; does it wait for something?")
  }

  @Test func slowCompilationEndsWithAllItsProcesses() throws {
    let line = "[Double(x) * y + 2 - 3 * Double(x) / (y + 1), 1 + 2 * Double(x) - y].map { $0 * 2 }"
    let functions = (0..<10_000).map {
      "func f\($0)(_ x: Int, _ y: Double) -> [Double] { \(line) }"
    }
    var file = try ModelFile(functions.joined(separator: "\n"))
    file.options.limits.compileSeconds = 1
    #expect(file.failure().hasPrefix("x.swift: error: still compiling after 1 s; "))
    let left = Files.names(in: "/proc").filter { Int($0) != nil }.filter {
      let arguments = (try? String(contentsOfFile: "/proc/\($0)/cmdline", encoding: .utf8)) ?? ""
      return arguments.contains(file.path)
    }
    #expect(left == [])
  }

  @Test func hugeModelIsRefused() throws {
    var file = try ModelFile("let model = Model(String(repeating: \"a\", count: 1 << 20))")
    file.options.limits.outputBytes = 1 << 20
    #expect(file.failure() == "x.swift: error: the model is larger than 1 MiB")
  }

  @Test(arguments: [
    (
      "_ = open(\"/tmp/epc-x\", O_WRONLY | O_CREAT, 0o600)", "write a file (system call 'openat'), "
    ),
    ("_ = socket(AF_INET, 1, 0)", "use the network (system call 'socket'), "),
    (
      "var p = pid_t(); _ = posix_spawn(&p, \"/bin/true\", nil, nil, [nil], [nil])",
      "start a process (system call 'clone'), "
    ),
    ("_ = execv(\"/bin/true\", [nil])", "start a process (system call 'execve'), "),
    ("_ = unlink(\"/tmp/epc-x\")", "remove a file (system call 'unlink'), "),
  ])
  func forbiddenActionIsNamed(action: String, tried: String) throws {
    let file = try ModelFile("import Glibc\nlet model = Model(\"a\") { \(action) }")
    #expect(
      file.failure()
        == "x.swift: error: the model file tried to \(tried)which model files may not")
  }

  @Test func modelFileCannotReadFiles() throws {
    let text = """
      import Glibc
      let model = Model("a") {
        let file = open("/etc/passwd", O_RDONLY)
        if file < 0 { print(String(cString: strerror(errno))); exit(0) }
      }
      """
    #expect(
      try ModelFile(text).failure() == """
        x.swift: error: the model file ended without a model; it must not exit by itself, and can \
        read no files
          Permission denied
        """)
  }

  @Test func ownExitIsReported() throws {
    let file = try ModelFile("import Glibc\nlet model = Model(\"a\") { print(\"so\"); exit(3) }")
    #expect(file.failure() == "x.swift: error: the model file exited with status 3\n  so")
  }

  @Test func printedTextCannotSteerATerminal() throws {
    let file = try ModelFile("let model = Model(\"a\") { print(\"\\u{1b}[2J\\tx\") }")
    #expect(try file.load().printed == "\u{FFFD}[2J\tx\n")
  }

  @Test(arguments: [
    ("hello", "wrote something that is not a model to descriptor 3"),
    ("epc-model x\\n{}", "wrote something that is not a model to descriptor 3"),
    ("epc-model 1\\n", "wrote an empty model"),
  ])
  func envelopeIsChecked(sent: String, fault: String) throws {
    let file = try ModelFile(
      "import Glibc\nlet model = Model(\"a\") { send(\"\(sent)\", to: 3); exit(0) }")
    #expect(file.failure() == "x.swift: error: the model file \(fault)")
  }

  @Test func envelopeOfAnotherVersionSaysSo() throws {
    #expect(throws: ModelLoadError.EnvelopeFault.version(2)) {
      try Envelope.payload(of: Array("epc-model 2\n{}".utf8))
    }
    #expect(try Envelope.payload(of: Array("epc-model 1\n{}".utf8)) == Array("{}".utf8))
  }

  @Test func filesThatAreNoModelFilesAreRefused() throws {
    var file = try ModelFile("")
    func message(_ path: String) -> String {
      do throws(ModelLoadError) {
        _ = try ModelFileLoader().load(path: path, options: file.options)
        return "loaded"
      } catch {
        return error.description.replacingOccurrences(of: file.folder + "/", with: "")
      }
    }
    let folder = file.folder
    #expect(
      message("nowhere.swift") == "nowhere.swift: error: cannot be read: No such file or directory")
    #expect(message("k2.json") == "k2.json: error: a model file's name ends in '.swift'")
    #expect(
      message("a/main.swift")
        == "a/main.swift: error: a model file cannot be called 'main.swift'; rename it")
    try Files.makeDirectories(folder + "/d.swift")
    #expect(message(folder + "/d.swift") == "d.swift: error: cannot be read: Is a directory")
    try Files.create(folder + "/b.swift", [0xff, 0xfe])
    #expect(message(folder + "/b.swift") == "b.swift: error: not UTF-8 text")
    file.options.limits.sourceBytes = 4
    #expect(
      message(file.path)
        == "x.swift: error: larger than 4 bytes, which is too large for a model file")
  }

  @Test func missingToolsSayWhatToDo() throws {
    var file = try ModelFile("let model = Model(\"a\")")
    file.options.libraryDirectory = file.folder
    #expect(file.failure().hasPrefix("error: the library EPModel is not in "))
    file.options.environment["PATH"] = file.folder
    file.options.environment["EPC_SWIFTC"] = nil
    #expect(
      file.failure() == """
        error: no swiftc in PATH; install Swift, or set EPC_SWIFTC, or pass a model JSON or a \
        config.json, which need no compiler
        """)
    file.options.compiler = "/etc/passwd"
    #expect(file.failure().hasPrefix("error: '/etc/passwd' is not a Swift compiler; install Swift"))
    file.options.compiler = "/bin/false"
    #expect(file.failure() == "error: '/bin/false -print-target-info' failed")
  }

  @Test func fileWithAnOddNameIsNotAnOption() throws {
    let file = try ModelFile("let model = Model(\"a\") + 1", name: "@x.swift")
    let source = try ModelSource(path: file.path, limit: 1 << 20)
    #expect(source.argument == file.path)
    #expect(file.failure().hasPrefix("@x.swift:2:"))
  }
}
