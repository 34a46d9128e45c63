import EPIR
import EPReference
import Glibc
import Testing

func environment(_ name: String) -> String? {
  unsafe getenv(name).map { unsafe String(cString: $0) }
}

/// The folder of reference checkpoints that come with the tests.
let fixtures = String(#filePath.dropLast("ReferenceSuiteTests.swift".count)) + "Fixtures"

@Suite struct ReferenceFixtureTests {
  static let meshes =
    ReferenceSuite.meshes + [
      Mesh(pp: 2, dp: 2, tp: 2, ep: 2), Mesh(dp: 2, tp: 2, ep: 1), Mesh(dp: 4, tp: 2, ep: 8),
    ]

  @Test(arguments: ReferenceCase.all(below: fixtures), meshes)
  func checkpointsComputeWhatTheReferenceDoes(reference: ReferenceCase, mesh: Mesh) {
    let row = ReferenceSuite.run(reference, mesh: mesh)
    #expect(row.passes && row.skipped == nil, "\(ReferenceSuite.table([row]))")
    #expect(row.logits.rows > 0 && row.routing != nil)
  }

  @Test func bothFixturesAreThere() {
    let names = ReferenceCase.all(below: fixtures).map(\.name)
    #expect(names == ["deepseek_v3/bf16", "gpt_oss_mxfp4/mxfp4"])
  }
}

@Suite(
  .enabled(if: environment("EPC_REFS") != nil, "needs EPC_REFS, a folder of reference checkpoints"))
struct ReferenceSuiteTests {
  @Test func everyReferenceAgreesOnEveryMesh() throws {
    let folder = try #require(environment("EPC_REFS"))
    let rows = ReferenceSuite.run(folder: folder, filter: environment("EPC_REFS_FILTER") ?? "")
    print(ReferenceSuite.table(rows))
    #expect(!rows.isEmpty)
    for row in rows { #expect(row.passes, "\(row.name) on \(row.mesh)") }
  }
}
