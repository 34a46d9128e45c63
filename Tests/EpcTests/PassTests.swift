import Foundation
import Testing

/// Compiler passes and exporters that are programs of somebody else.
@Suite struct PassTests {
  private static let compile = ["compile", "models/tiny-k2.swift", "--dp", "2", "--ep", "2"]

  private func tokens(_ plan: String) throws -> String {
    let run = try epc([
      "exec", plan, "--weights", "synthetic:3", "--tokens", "4,5,6", "--generate", "5",
    ])
    #expect(run.status == 0, "\(run.errors)")
    return run.output.split(separator: "\n").first.map(String.init) ?? ""
  }

  @Test func aPassChangesThePlanAndNotWhatItMakes() throws {
    let folder = try Scratch()
    let (plain, turned) = (folder.path("plain.json"), folder.path("turned.json"))
    #expect(try epc(PassTests.compile + ["-o", plain]).status == 0)
    let run = try epc(
      PassTests.compile + ["--pass", "plugins/passes/rotate-experts", "-o", turned])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("rotate-experts: each layer's expert ranks turned"))
    #expect(try String(contentsOfFile: turned, encoding: .utf8).contains("24-47,0-23"))
    #expect(try tokens(plain) == tokens(turned))
  }

  /// What a pass gets wrong is told in one error, and nothing is written.
  @Test(arguments: [
    ("exit 3", "it ended with status 3"),
    ("echo 'no idea' >&2; exit 1", "it ended with status 1: no idea"),
    ("exit 0", "it wrote nothing"),
    ("kill -9 $$", "it ended with signal 9"),
    ("echo hello", "the plan of "),
    ("sed 's/\"slots\": \"0-47\"/\"slots\": \"0-46,0\"/' \"$1\"", "the plan of "),
  ])
  func aPassThatIsWrongIsRefused(body: String, says: String) throws {
    let folder = try Scratch()
    let (program, plan) = (folder.path("pass"), folder.path("plan.json"))
    try "#!/bin/sh\n\(body)\n".write(toFile: program, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
    let run = try epc(PassTests.compile + ["--pass", program, "-o", plan])
    #expect(run.status == 1)
    #expect(run.errors.contains("error: ") && run.errors.contains(says), "\(run.errors)")
    #expect(run.output == "")
    #expect(!FileManager.default.fileExists(atPath: plan))
  }

  @Test func aPassIsNamedByItsPath() throws {
    let run = try epc(PassTests.compile + ["--pass", "ls"])
    #expect(run.status == 1 && run.errors.contains("write a path with a slash, such as ./ls"))
    let none = try epc(PassTests.compile + ["--pass", "./nothing"])
    #expect(none.status == 1 && none.errors.contains("there is no such file"))
  }

  @Test func anExporterWritesWhatItLikes() throws {
    let folder = try Scratch()
    let (plan, table) = (folder.path("plan.json"), folder.path("slots.csv"))
    #expect(try epc(PassTests.compile + ["-o", plan]).status == 0)
    let run = try epc(["export", plan, "--to", "plugins/exporters/slots-csv", "-o", table])
    #expect(run.status == 0, "\(run.errors)")
    let lines = try String(contentsOfFile: table, encoding: .utf8).split(separator: "\n")
    // 3 layers of 48 experts, the 25th of which is the first of rank 1.
    #expect(lines.count == 1 + 3 * 48)
    #expect(lines.contains("unified,2,1,0,24"))
    let shown = try epc(["export", plan, "--to", "plugins/exporters/slots-csv"])
    #expect(shown.output.hasPrefix("pool,layer,expert_rank,slot,expert\n"))
    let unknown = try epc(["export", plan, "--to", "nonsense"])
    #expect(unknown.status == 64)
    let none = try epc(["export", plan, "--to", "./nothing"])
    #expect(none.status == 1 && none.errors.contains("./nothing: there is no such file"))
  }
}
