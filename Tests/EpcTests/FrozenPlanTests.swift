import Foundation
import Testing

/// Plans as earlier versions of the format were written, which are never written anew: tiny-k2 on two data
/// groups of two tensor ranks. A new version of the format adds its own.
@Suite struct FrozenPlanTests {
  private static let folder = "Tests/EpcTests/Fixtures/plans"

  @Test(arguments: ["1.0", "1.1", "1.2"])
  func plansOfEarlierVersionsRun(version: String) throws {
    let plan = "\(Self.folder)/\(version).json"
    #expect(try epc(["verify", plan]).output.contains("well-formed, 4 ranks"))
    let run = try epc([
      "exec", plan, "--weights", "synthetic:1", "--tokens", "1,2,3", "--generate", "6",
    ])
    #expect(run.output.hasPrefix("prompt 0, 3 tokens: 378 383 383 383 225 329\n"), "\(run.errors)")
  }

  /// What is not known of a later minor version is ignored; a later major one is refused.
  @Test(arguments: [("1.10", Int32(0)), ("2.0", 1)])
  func laterVersionsAreReadByTheirMinor(version: String, status: Int32) throws {
    let scratch = try Scratch()
    let url = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Fixtures/plans/1.2.json")
    let text = try String(contentsOf: url, encoding: .utf8)
      .replacing(#""epc_plan": "1.2","#, with: #""epc_plan": "\#(version)", "novel": [1],"#)
    let plan = scratch.path("plan.json")
    try Data(text.utf8).write(to: URL(filePath: plan))
    let run = try epc(["verify", plan])
    #expect(run.status == status)
    #expect(run.errors.contains(version) == (status == 1), "\(run.errors)")
  }
}
