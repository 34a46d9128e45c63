import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import Foundation

/// Every model file of the repository, compiled and run once for all tests.
struct ModelFiles: Sendable {
  /// What a model file says of itself.
  struct Report: Sendable {
    /// What is wrong with it; a report with problems holds nothing else of use.
    var problems: [String] = []
    /// The program it traced to.
    var program: ModelProgram?
    /// The calls of its functions in order.
    var calls: [Call] = []
    /// Weights of all kinds; see `ParameterCount`.
    var total = 0
    var activated = 0
    var table = 0
    var drafts = 0
    /// How many functions the layers were rolled into, embedding, head and MTP included.
    var functions = 0

    /// The numbers of the layers whose calls satisfy a condition.
    func layers(where condition: (Call) -> Bool) -> [Int] {
      calls.filter(condition).flatMap(\.layers)
    }
  }

  /// Calls of one function.
  struct Call: Sendable {
    var layers: [Int]
    /// The kinds of operations the function has.
    var operations: Set<String>
    var isDraft: Bool
    var isMixture: Bool { operations.contains("dispatch") }
  }

  /// Reports by path below `models/`.
  static let reports = Task.detached(priority: .high) { await ModelFiles().run() }

  /// The repository's `models` folder.
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "models")

  /// The model files, as paths below `models/`.
  static let names: [String] = {
    let all =
      FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String } ?? []
    return all.filter { $0.hasSuffix(".swift") }.sorted()
  }()

  private func run() async -> [String: Report] {
    await withTaskGroup(of: (String, Report).self) { group in
      var waiting = Self.names[...]
      var reports: [String: Report] = [:]
      for name in waiting.prefix(2) { group.addTask { (name, Self.report(on: name)) } }
      waiting = waiting.dropFirst(2)
      while let (name, report) = await group.next() {
        reports[name] = report
        if let next = waiting.popFirst() { group.addTask { (next, Self.report(on: next)) } }
      }
      return reports
    }
  }

  /// What the program around a model file does: it reports, then it writes the envelope twice.
  private static let main = """
    import EPModel
    let traced = model.traced()
    for diagnostic in traced.diagnostics {
      print("problem", diagnostic.location?.description ?? "?", diagnostic.id, diagnostic.message)
    }
    let program = traced.program
    let count = program.parameterCount
    print("count", count.total, count.activated, count.table, count.drafts)
    print("functions", program.functions.count)
    for (word, calls) in [("call", program.calls), ("draft", program.drafts)] {
      for call in calls {
        let kinds = Set(program.functions[call.function].operations.map(\\.kind.rawValue)).sorted()
        print(word, ModelProgram.Call.text(of: call.layers) + ";" + kinds.joined(separator: ","))
      }
    }
    emitModel(model, descriptor: 3)
    emitModel(model, descriptor: 4)
    """

  private static func report(on name: String) -> Report {
    do {
      return try compileAndRun(name)
    } catch {
      return Report(problems: ["\(error)"])
    }
  }

  private static func compileAndRun(_ name: String) throws -> Report {
    let scratch = FileManager.default.temporaryDirectory
      .appending(path: "epc-model-files-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: scratch) }
    let mainFile = scratch.appending(path: "main.swift")
    try Data(main.utf8).write(to: mainFile)
    let program = scratch.appending(path: "model").path
    let source = folder.appending(path: name).path
    let products = try BuildProducts.find()
    let (status, messages) = try shell(
      "swiftc",
      ["-Onone", "-wmo", "-swift-version", "5", "-I", products.modules, source, mainFile.path]
        + products.objects + ["-o", program])
    if status != 0 || !messages.isEmpty { return Report(problems: [messages]) }
    let (first, second) = (scratch.appending(path: "3"), scratch.appending(path: "4"))
    let (ran, output) = try shell(
      "sh", ["-c", "exec \"$0\" 3>\"$1\" 4>\"$2\"", program, first.path, second.path])
    var report = Report(problems: ran == 0 ? [] : ["the model's program ended with \(ran)"])
    for line in output.split(separator: "\n") { read(line, into: &report) }
    let envelopes = try (Data(contentsOf: first), Data(contentsOf: second))
    if envelopes.0 != envelopes.1 { report.problems.append("two envelopes differ") }
    do {
      let program = try read(envelope: envelopes.0)
      report.program = program
      report.problems += try problemsOfPlans(program)
    } catch {
      report.problems.append("\(error)")
    }
    return report
  }

  /// Reads an envelope as the compiler does.
  private static func read(envelope: Data) throws -> ModelProgram {
    let header = Data("epc-model 1\n".utf8)
    guard envelope.starts(with: header) else { throw Broken("no envelope came out") }
    let text = Array(envelope.dropFirst(header.count))
    let program = try ModelProgram(json: try JSONNode(JSONValue.parse(bytes: text))["model"])
    let again = "{\"diagnostics\":[],\"model\":\(program.document.json)}"
    if Array(again.utf8) != text { throw Broken("the program reads back as another one") }
    return program
  }

  private struct Broken: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
  }

  /// Compiles with nothing but a phase: the loads that the compiler chooses fit the devices that it
  /// chooses.
  private static func problemsOfPlans(_ program: ModelProgram) throws -> [String] {
    let catalog = HardwareCatalog(folders: [folder.path + "/../plugins/hardware"])
    let hardware = try catalog.hardware(named: "h200")
    var problems: [String] = []
    for role in Pool.Role.allCases {
      let request = CompileRequest(
        hardware: hardware, pools: [CompileRequest.PoolRequest(role)])
      do { _ = try Compiler.compile(Compilation(program, request)) } catch {
        problems.append("\(role.rawValue): \(error.description)")
      }
    }
    return problems
  }

  private static func read(_ line: Substring, into report: inout Report) {
    let words = line.split(separator: " ", maxSplits: 1).map(String.init)
    guard words.count == 2 else { return report.problems.append("unread line '\(line)'") }
    switch words[0] {
    case "count":
      let numbers = words[1].split(separator: " ").compactMap { Int($0) }
      (report.total, report.activated) = (numbers[0], numbers[1])
      (report.table, report.drafts) = (numbers[2], numbers[3])
    case "functions": report.functions = Int(words[1]) ?? 0
    case "call", "draft":
      let parts = words[1].split(separator: ";", omittingEmptySubsequences: false)
      report.calls.append(
        Call(
          layers: layers(parts[0]),
          operations: Set(parts[1].split(separator: ",").map(String.init)),
          isDraft: words[0] == "draft"))
    default: report.problems.append(String(line))
    }
  }

  private static func layers(_ text: Substring) -> [Int] {
    text.split(separator: ",").flatMap { run -> [Int] in
      let ends = run.split(separator: "-").compactMap { Int($0) }
      return ends.isEmpty ? [] : Array(ends[0]...ends[ends.count - 1])
    }
  }

  private static func shell(_ tool: String, _ arguments: [String]) throws -> (Int32, String) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [tool] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}

/// What SwiftPM made of the DSL, beside the running test.
struct BuildProducts {
  /// The folder of `EPModel.swiftmodule`.
  var modules: String
  /// The objects of the DSL.
  var objects: [String]

  /// Why a model file cannot be compiled here.
  struct Missing: Error {
    var path: String
  }

  static func find() throws -> BuildProducts {
    let test = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    let folder = test.deletingLastPathComponent()
    let modules = folder.appending(path: "Modules").path
    let build = folder.appending(path: "EPModel.build").path
    // The list of sources and not of objects: a file that is gone leaves its object behind.
    let sources = try String(contentsOfFile: "\(build)/sources", encoding: .utf8)
    let objects = sources.split(separator: "\n").map { source in
      "\(build)/\(URL(filePath: String(source)).lastPathComponent).o"
    }
    guard FileManager.default.fileExists(atPath: "\(modules)/EPModel.swiftmodule"),
      !objects.isEmpty
    else { throw Missing(path: modules) }
    return BuildProducts(modules: modules, objects: objects)
  }
}
