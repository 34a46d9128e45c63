import Foundation
import Testing

/// `epc search` and `epc validate` as a user runs them, on a model small enough for a debug build.
@Suite struct SearchCommandTests {
  static let base = [
    "search", "models/tiny-deepseek.swift", "--cluster", "h200:2", "--isl", "256", "--osl", "64",
    "--loads", "even", "--mtp", "0",
  ]

  @Test func rowsBecomePlansAndPictures() throws {
    let folder = try Scratch()
    let (plan, picture) = (folder.path("plan.json"), folder.path("front.svg"))
    let run = try epc(
      Self.base + [
        "--tpot", "5", "--plan", "1", "-o", plan, "--svg", picture, "--replay", "poisson",
        "--requests", "50", "--demand", "1000", "--format", "json",
      ])
    #expect(run.status == 0, "\(run.errors)")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    let rows = try #require(object["rows"] as? [[String: Any]])
    #expect(rows.count >= 1)
    for field in ["tokens_per_second_per_gpu", "ttft_ms", "tpot_ms", "interval", "idle_gpus"] {
      #expect(rows[0][field] != nil, "\(field)")
    }
    #expect(object["front"] != nil && object["sensitivity"] != nil && object["replay"] != nil)
    #expect(object["ownership"] != nil)
    #expect(try epc(["verify", plan]).output.contains("well-formed"))
    let drawn = try String(contentsOfFile: picture, encoding: .utf8)
    #expect(drawn.hasPrefix("<svg") && drawn.hasSuffix("</svg>\n") && drawn.contains("<circle"))
  }

  @Test(arguments: [
    (["--tpot", "0.0001"], "infeasible"), (["--cluster", "h9:8"], "unknown-hardware"),
    (["--isl", "0"], "'--isl 0'"), (["--loads", "zipf"], "expert-loads"),
    (["--plan", "1"], "come together"), (["--mtp", "3"], "mtp-depth"),
    (["--weights", "fp9"], "fp9"), (["--demand", "0"], "'--demand 0.0'"),
    (["--replay", "poisson:-1"], "above 0"), (["--replay", "no-such-file"], "no-such-file"),
    (["--replay", "poisson", "--requests", "0"], "'--requests 0'"),
    (["--plan", "99", "-o", "-"], "rows 1 to 5"), (["--svg", "no-such/front.svg"], "no-such/"),
    // Negative numbers are values, not flags that lack one.
    (["--isl", "-3"], "'--isl -3'"), (["--tpot", "-2.5"], "'--tpot -2.5'"),
    (["--plan", "-1", "-o", "-"], "'--plan -1'"), (["--price", "-1e3"], "'--price -1000.0'"),
  ])
  func mistakesAreNamed(flags: [String], words: String) throws {
    var arguments = Self.base
    for flag in flags where flag.hasPrefix("--") {
      if let place = arguments.firstIndex(of: flag) {
        arguments.removeSubrange(place...(place + 1))
      }
    }
    let run = try epc(arguments + flags)
    #expect(run.status == 1, "\(run.output)")
    #expect(run.errors.contains(words), "\(run.errors)")
  }

  @Test func casesAreComparedAndBadOnesNamed() throws {
    let folder = try Scratch()
    let path = folder.path("cases.csv")
    let header =
      "id,system,model,hardware,phase,pp,dp,tp,ep,isl,osl,sequences,value,fit,excluded,source\n"
    func run(_ row: String) throws -> (status: Int32, output: String, errors: String) {
      try (header + row).write(toFile: path, atomically: true, encoding: .utf8)
      let run = try epc(["validate", path])
      return (run.status, run.output, run.errors)
    }
    let left = try run("A,Test,,h200,decode,1,2,1,2,100,10,4,1000,no,not published,here\n")
    #expect(left.status == 0 && left.output.contains("not published"))
    let wrong = try run("A,Test,,h200,decode,1,2,1,2,100,10,4,many,no,,here\n")
    #expect(wrong.status == 1 && wrong.errors.contains("'many'"))
    let short = try run("A,Test\n")
    #expect(short.status == 1 && short.errors.contains("fields under"))
  }

  /// Balanced ranks take what was predicted, uneven ones are drawn; the case's own phases work.
  @Test func casesRunOnSimulatedDevices() throws {
    let folder = try Scratch()
    try FileManager.default.copyItem(
      atPath: "models/tiny-deepseek.swift", toPath: folder.path("tiny.swift"))
    let path = folder.path("cases.csv")
    let header =
      "id,system,model,hardware,phase,pp,dp,tp,ep,isl,osl,sequences,tokens,overlap,balance,value,fit,"
      + "excluded,source\n"
    try """
    \(header)A,Test,tiny.swift,h200,decode,1,4,1,4,100,10,64,,none,even,1000,no,,here
    B,Test,tiny.swift,h200,decode,1,4,1,4,100,10,64,,none,0.7,1000,no,,here
    C,Test,tiny.swift,h200,prefill,1,4,1,4,100,10,,512,none,even,1000,no,,here

    """.write(toFile: path, atomically: true, encoding: .utf8)
    let run = try epc(["validate", path, "--simulate"])
    #expect(run.status == 0, "\(run.errors)")
    let rows = run.output.split(separator: "\n").filter { $0.contains("| Test |") }.map { row in
      row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    try #require(rows.count == 3)
    for row in rows {
      let (predicted, simulated) = (try #require(Double(row[3])), try #require(Double(row[8])))
      let balance = try #require(Double(row[10]))
      #expect(row[0] == "B" ? balance < 0.9 : balance == 1)
      if row[0] != "B" { #expect(abs(simulated / predicted - 1) < 0.02, "\(row)") }
    }
    #expect(run.output.contains("| all throughputs | 3 | "))
  }
}
