import Foundation
import Testing

/// `--format json` of every command that prints results: one document, with what the text says.
@Suite struct FormatTests {
  private static let files = Result { () throws -> (folder: Scratch, names: [String: String]) in
    let folder = try Scratch()
    let names = [
      "PLAN": folder.path("plan.json"), "CASES": folder.path("cases.csv"),
      "LAYERS": folder.path("layers.csv"),
    ]
    _ = try epc([
      "compile", "models/tiny-deepseek.swift", "--ep", "2", "-o", folder.path("plan.json"),
    ])
    let package = FileManager.default.currentDirectoryPath
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("models"), withDestinationPath: "\(package)/models")
    for (name, ids) in [
      ("cases", ["id,", "DS-PROF-D,", "C007,", "C045,", "SGL-H100-P1K,"]),
      ("layers", ["layer,", "\"DeepSeek decode, EP128\","]),
    ] {
      let all = try String(contentsOfFile: "\(package)/benchmarks/\(name).csv", encoding: .utf8)
      let kept = all.split(separator: "\n").filter { line in ids.contains { line.hasPrefix($0) } }
      try kept.joined(separator: "\n").replacing("../models", with: "models")
        .write(toFile: folder.path("\(name).csv"), atomically: true, encoding: .utf8)
    }
    return (folder, names)
  }

  private static func run(
    _ arguments: String, _ more: [String] = []
  ) throws -> (status: Int32, output: String, errors: String) {
    let names = try files.get().names
    return try epc(arguments.split(separator: " ").map { names[String($0)] ?? String($0) } + more)
  }

  private static let fixtures = "Tests/EPHuggingFaceTests/Fixtures"

  /// Commands whose text is rows and so many other lines.
  private static let tables: [(arguments: String, others: Int)] = [
    ("model parameters models/tiny-k2.swift models/tiny-deepseek.swift", 0),
    ("model outcome \(fixtures)/deepseek_v3.json \(fixtures)/deepseek_demo.json", 0),
    ("clusters", 1),
    ("calibrate", 2),
    ("references Tests/EPRuntimeTests/Fixtures --only deepseek", 2),
    ("references Tests/EPRuntimeTests/Fixtures --only mxfp4 --dtype bf16", 3),
    // The name of each table, its titles, and the line below them.
    ("validate CASES --layers LAYERS", 3 * 8),
  ]

  /// Others, whose documents their own suites look at.
  private static let others = [
    "compile models/tiny-k2.swift", "exec PLAN --weights synthetic:1 --tokens 1,2 --generate 2",
    "exec PLAN --backend simgpu --steps 2", "estimate PLAN --explain", "show PLAN", "verify PLAN",
    "balance place zipf:1 --ranks 4 --experts 16",
    "balance replicas zipf:1 --ranks 4 --experts 16 "
      + "--memory 1 --expert-bytes 1000000",
    "balance simulate zipf:1 zipf:2 --ranks 4 --experts 16 --expert-bytes 1000000",
    "balance migrate zipf:1 --from PLAN --model models/tiny-deepseek.swift",
    "export PLAN --to vllm", "backends", "conformance --only norm --cases 1",
  ]

  /// Those that write files alone, those that take a while, of which searches have tests of their own.
  private static let without: Set = ["model dump", "model synthesize", "bench", "search"]

  @Test func allCommandsAreHere() throws {
    let given = (Self.tables.map(\.arguments) + Self.others).map { $0.split(separator: " ") }
    func visit(_ command: [String]) throws -> [String] {
      let help = try epc(command + ["--help"]).output
      let below = help.components(separatedBy: "SUBCOMMANDS:\n").dropFirst().first.map { list in
        list.components(separatedBy: "\n\n")[0]
          .split(separator: "\n").filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
          .compactMap { $0.split(separator: " ").first.map(String.init) }
      }
      return try below.map { try $0.flatMap { try visit(command + [$0]) } }
        ?? [command.joined(separator: " ")]
    }
    let names = try visit([])
    #expect(names.count > 15)
    for name in names where !Self.without.contains(name) {
      let words = name.split(separator: " ")
      #expect(given.contains { $0.starts(with: words) }, "\(name)")
    }
  }

  @Test(arguments: others)
  func documentsAreWhole(arguments: String) throws {
    let run = try Self.run(arguments, ["--format", "json"])
    #expect(run.status == 0, "\(run.errors)")
    _ = try JSONSerialization.jsonObject(with: Data(run.output.utf8))
  }

  /// Each row of the text is one of the document's, and each number in it one there, rounded.
  @Test(arguments: tables)
  func documentsSayWhatTheTextSays(arguments: String, others: Int) throws {
    let text = try Self.run(arguments)
    let json = try Self.run(arguments, ["--format", "json"])
    #expect(text.status == 0 && json.status == 0, "\(text.errors)")
    #expect(text.errors == json.errors)
    let document = try #require(
      try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    let rows = document.values.reduce(0) { $0 + (($1 as? [Any])?.count ?? 0) }
    let lines = text.output.split(separator: "\n")
    #expect(rows > 0 && lines.count == rows + others)
    let numbers = Self.numbers(in: document)
    for number in text.output.matches(of: /\d+(\.\d+)?(e-?\d+)?/) {
      let shown = try #require(Double(number.output.0))
      let digits = number.output.1.map { $0.count - 1 } ?? 0
      let unit = pow(10, Double(-digits)) * (number.output.2.flatMap { Double("1\($0)") } ?? 1)
      // Percents with digits are rounded down in one of the tables.
      let most = (digits > 0 ? 1 : 0.5) * unit * (1 + 1e-6)
      let isThere = numbers.contains { value in
        [1, 100, 1e6, 1e9, 1e-3, 1e-6, 1e-9, 1e-12].contains { abs(value * $0 - shown) <= most }
      }
      #expect(isThere, "\(number.output.0)")
    }
  }

  /// All numbers of a document, also those within texts, without signs. Of a model those that a token is
  /// multiplied with too, which have no field.
  private static func numbers(in value: Any) -> [Double] {
    switch value {
    case let list as [Any]: return list.flatMap { numbers(in: $0) }
    case let object as [String: Any]:
      var all = object.values.flatMap { numbers(in: $0) }
      if let activated = object["activated_parameters"] as? Double,
        let table = object["table_parameters"] as? Double
      {
        all.append(activated - table)
      }
      return all
    case let text as String:
      return text.matches(of: /\d+(\.\d+)?/).compactMap { Double($0.output.0) }
    case let number as NSNumber: return [abs(number.doubleValue)]
    default: return []
    }
  }
}
