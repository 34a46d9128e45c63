import EPBackendCPU
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
  static let meshes = [
    Mesh(), Mesh(dp: 4, ep: 4), Mesh(dp: 2, tp: 2, ep: 4), Mesh(pp: 2, dp: 2, tp: 2, ep: 2),
    Mesh(dp: 2, tp: 2, ep: 1),
  ]

  @Test(arguments: ReferenceCase.all(below: fixtures), meshes)
  func checkpointsComputeWhatTheReferenceDoes(reference: ReferenceCase, mesh: Mesh) {
    let row = ReferenceSuite.run(reference, mesh: mesh)
    #expect(row.passes && row.skipped == nil, "\(ReferenceSuite.table([row]))")
    #expect(row.logits.rows > 0 && row.routing != nil)
  }

  @Test(arguments: [Mesh(), Mesh(dp: 2, tp: 2, ep: 4)])
  func speculationDraftsWhatTheReferenceDrafts(mesh: Mesh) throws {
    let reference = ReferenceCase(folder: fixtures + "/deepseek_v3/bf16", name: "deepseek_v3")
    let row = try ReferenceSuite.speculate(reference, mesh: mesh, count: 3)
    #expect(row.tokensEqual && row.draftsEqual)
    #expect(row.drafted > 0)
  }

  /// Rounded weights move logits by no more than is stated, and by no less than a part of that.
  @Test(arguments: [WeightFormat.bf16, .int8])
  func roundedWeightsStayWithinTheirBounds(weights: WeightFormat) {
    let reference = ReferenceCase(folder: fixtures + "/deepseek_v3/bf16", name: "deepseek_v3")
    let row = ReferenceSuite.run(reference, mesh: Mesh(dp: 2, ep: 2), weights: weights)
    #expect(row.passes && row.settled.rows > 8, "\(ReferenceSuite.table([row]))")
    #expect(row.settled.relativeError > row.bound / 20, "\(ReferenceSuite.table([row]))")
    #expect(row.settled.rows < row.logits.rows || row.routing == 1)
  }

  @Test func coarserWeightsAreOutOfTheBoundsOfFinerOnes() {
    let reference = ReferenceCase(folder: fixtures + "/deepseek_v3/bf16", name: "deepseek_v3")
    var row = ReferenceSuite.run(reference, mesh: Mesh(), weights: .mxfp4)
    #expect(row.passes && row.settled.rows > 0, "\(ReferenceSuite.table([row]))")
    row.bound = 0.065
    #expect(!row.passes, "\(ReferenceSuite.table([row]))")
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

  @Test func speculationEqualsGreedyOnEveryReferenceWithDrafts() throws {
    let folder = try #require(environment("EPC_REFS"))
    for reference in ReferenceCase.all(below: folder)
    where reference.name.contains(environment("EPC_REFS_FILTER") ?? "") {
      for count in [1, 3] {
        let row = try ReferenceSuite.speculate(reference, mesh: Mesh(dp: 2, ep: 2), count: count)
        if row.drafted == 0 { continue }
        print("\(reference.name): \(row.accepted) of \(row.drafted) drafts accepted")
        #expect(row.tokensEqual && row.draftsEqual, "\(reference.name)")
      }
    }
  }
}
