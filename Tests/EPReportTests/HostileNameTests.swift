import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Testing

@testable import EPReport

/// A plan's names are whatever its author wrote.
@Suite struct HostileNameTests {
  static let name =
    "\u{1b}]0;owned\u{7}\u{1b}[2J<script>&amp;\"'\\\n}];\u{202e}evil\u{9b}31m\u{0}\u{ffff}--]]>"

  func plan() throws -> Plan {
    var plan = try compile(SampleModels.tinyDeepSeek(), [(.unified, Mesh(dp: 2, tp: 2, ep: 4))])
    plan.model.name = Self.name
    plan.cluster.name = Self.name
    plan.decisions = [Self.name]
    for index in plan.pools[0].functions.indices {
      plan.pools[0].functions[index].function.name += Self.name
      for weight in plan.pools[0].functions[index].function.weights.indices {
        plan.pools[0].functions[index].function.weights[weight].name = "a.{layer}." + Self.name
      }
      for cache in plan.pools[0].functions[index].function.caches.indices {
        plan.pools[0].functions[index].function.caches[cache].name = Self.name
      }
      for operation in plan.pools[0].functions[index].function.operations.indices {
        plan.pools[0].functions[index].function.operations[operation].scope =
          Self.name + "." + Self.name
      }
    }
    return plan
  }

  func isHarmless(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      scalar == "\n" || Escaping.printable(String(scalar)) == String(scalar)
    }
  }

  @Test func reachNoTerminal() throws {
    let plan = try plan()
    #expect(isHarmless(PlanSummary(plan).text()))
    #expect(isHarmless(OpListing(plan).text))
    #expect(isHarmless(try #require(RankListing(plan, pool: 0, rank: 1)).text()))
    #expect(PlanSummary(plan).text().contains(#"\u{1b}]0;owned\u{7}"#))
  }

  @Test func breakNoPicture() throws {
    let plan = try plan()
    for function in plan.pools[0].functions {
      let graph = try #require(PlanGraph(plan, function: function.function.name))
      #expect(isHarmless(graph.svg))
      #expect(tagProblem(graph.svg) == nil)
      #expect(!graph.svg.contains("<script"))
      #expect(isHarmless(graph.dot))
      let bare = unquoted(graph.dot)
      #expect(!bare.contains("owned"))
      #expect(bare.count { $0 == "{" } == bare.count { $0 == "}" })
    }
  }
}
