import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlacement
import EPPlan
import EPTestSupport
import Foundation
import Testing

/// Every diagnostic id in the sources is provoked here.
@Suite struct DiagnosticTests {
  /// What the compiler says of itself; a test that provoked it would have found a bug.
  static let ownBugs: Set<String> = ["compiler-bug"]

  @Test func everyIdIsProvoked() throws {
    let written = try idsInSources(["EPPlan", "EPCompiler"])
    #expect(written.count > 40)
    var provoked = try idsOfMutations()
    provoked.formUnion(try idsOfRequests())
    provoked.formUnion(try idsOfPlans())
    #expect(written.subtracting(provoked).subtracting(Self.ownBugs).sorted() == [])
  }

  private func idsInSources(_ targets: [String]) throws -> Set<String> {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let pattern = /(?:report|Diagnostics?)\(\s*"([a-z][a-z-]*)"/
    var ids: Set<String> = []
    for target in targets {
      let folder = root.appending(path: "Sources/\(target)")
      let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path())
      for file in files.sorted() where file.hasSuffix(".swift") {
        let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
        for match in text.matches(of: pattern) { ids.insert(String(match.1)) }
      }
    }
    return ids
  }

  private func idsOfMutations() throws -> Set<String> {
    let plans = try SamplePlans.all()
    var random = SeededGenerator(seed: 5)
    var ids: Set<String> = []
    for mutation in MutationTests.classes {
      for _ in 0..<12 {
        var plan = random.pick(plans).plan
        if case .inapplicable = mutation.apply(&plan, &random) { continue }
        ids.formUnion(plan.verify().map(\.id))
      }
    }
    return ids
  }

  /// Requests that the compiler refuses.
  private func idsOfRequests() throws -> Set<String> {
    func ids(
      _ program: ModelProgram = SampleModels.latentAttention, memoryGB: Double = 141,
      _ change: (inout CompileRequest) -> Void
    ) -> [String] {
      do {
        var request = try SamplePlans.request([(.unified, Mesh())], memoryGB: memoryGB)
        change(&request)
        _ = try Compiler.compile(Compilation(program, request))
        return []
      } catch let error as Diagnostics { return error.all.map(\.id) } catch { return [] }
    }
    var noCalls = SampleModels.dense
    noCalls.calls = []
    var sharded = SampleModels.dense
    sharded.functions[1].operations[0].attributes["count"] = 4
    var dropping = SampleModels.latentAttention
    for index in dropping.functions.indices {
      for number in dropping.functions[index].operations.indices
      where dropping.functions[index].operations[number].kind == .route {
        dropping.functions[index].operations[number].attributes["capacity_factor"] = .real(1)
      }
    }
    let two = Cluster(try SamplePlans.hardware(), devices: 2)
    let one = try ExpertLoads(rows: [[1]])
    var unlike = two
    unlike.unlike = [UnlikeDevices(ranks: 1...1, speed: 0.5, memoryBytes: 1 << 30)]
    let found = [
      ids(noCalls) { _ in }, ids(sharded) { _ in }, ids { $0.drafts = 9 }, ids { $0.context = 0 },
      ids { $0.pools = [] }, ids { $0.context = .max }, ids { $0.pools[0].tp = 0 },
      ids {
        $0.cluster = two
        $0.pools[0].dp = 8
        $0.pools[0].ep = 8
      }, ids { $0.pools[0].ep = 7 }, ids { $0.pools[0].redundantExperts = 999 },
      ids { ($0.pools[0].tp, $0.pools[0].ep) = (16, 1) }, ids { $0.pools[0].pp = 64 },
      ids(memoryGB: 0.001) { _ in }, ids { $0.loads = .measured(one) },
      ids {
        $0.cluster = unlike
        $0.pools[0].dp = 2
        $0.pools[0].ep = 2
        $0.sharing = .batch
      }, ids { $0.overlap = .microBatches(17) }, ids(dropping) { $0.overlap = .microBatches(2) },
    ]
    return Set(found.flatMap { $0 })
  }

  /// Plans changed in one way each.
  private func idsOfPlans() throws -> Set<String> {
    var ids: Set<String> = []
    func change(_ pools: [(Pool.Role, Mesh)], _ edit: (inout Plan) -> Void) throws {
      var plan = try SamplePlans.plan(SampleModels.latentAttention, pools)
      edit(&plan)
      ids.formUnion(plan.verify().map(\.id))
    }
    do { _ = try Plan(bytes: Array("{}".utf8)) } catch { ids.formUnion(error.all.map(\.id)) }
    let stages = [(Pool.Role.unified, Mesh(pp: 2, dp: 1, tp: 2, ep: 2))]
    try change(stages) { plan in
      let last = plan.pools[0].functions.count - 1
      plan.pools[0].functions[last].function.values[0].axes[1].size = 32
      plan.pools[0].functions[last].function.operations[0].attributes["axes"] = [
        "own_tokens", "hidden:32",
      ]
    }
    try change(stages) { $0.pools[0].stages[0].removeLast() }
    try change(stages) { $0.pools[0].pipeline?.period = 0 }
    try change(stages) { $0.pools[0].pipeline?.lots = 0 }
    try change(stages) { $0.pools[0].placements[0].slots[0] = ExpertPlacement.empty }
    try change(stages) {
      $0.cluster.unlike = [UnlikeDevices(ranks: 0...999, speed: 1, memoryBytes: 1 << 40)]
    }
    try change(stages) { $0.pools[0].functions[0].streams.removeLast() }
    try change(stages) { plan in
      let last = plan.pools[0].functions.count - 1
      let type = TensorType([.tokens, .hidden(64)])
      plan.pools[0].functions[last].function.values[0] = type
      plan.pools[0].functions[last].function.operations[0].attributes["axes"] = [
        "tokens", "hidden:64",
      ]
    }
    try change([(.prefill, Mesh()), (.decode, Mesh())]) { $0.pools[1].firstRank = 0 }
    try change([(.unified, Mesh(dp: 2, tp: 2, ep: 1))]) { plan in
      // Ranks that now hold whole experts still dispatch all tokens of their data group.
      plan.pools[0].mesh.ep = 2
      for index in plan.pools[0].placements.indices {
        plan.pools[0].placements[index].slots += plan.pools[0].placements[index].slots
      }
    }
    try change([(.unified, Mesh())]) { plan in
      // One rank of one holds all of an axis that is never split.
      for index in plan.pools[0].functions.indices {
        for weight in plan.pools[0].functions[index].sharding.indices {
          let axes = plan.pools[0].functions[index].sharding[weight].axes
          plan.pools[0].functions[index].sharding[weight].tensorAxis =
            axes.firstIndex { $0.split == .never }
        }
      }
    }
    try change([(.unified, Mesh())]) { plan in
      for index in plan.pools[0].functions.indices {
        for number in plan.pools[0].functions[index].function.operations.indices
        where plan.pools[0].functions[index].function.operations[number].kind == .dispatch {
          plan.pools[0].functions[index].function.operations[number].attributes["group"] = "tp"
        }
      }
    }
    try change([(.unified, Mesh(tp: 2, ep: 1))]) { plan in
      for index in plan.pools[0].functions.indices {
        for weight in plan.pools[0].functions[index].sharding.indices {
          plan.pools[0].functions[index].sharding[weight].axes =
            plan.pools[0].functions[index].sharding[weight].axes.map {
              $0.size.map { Axis("x", $0) } ?? $0
            }
        }
      }
    }
    return ids
  }
}
