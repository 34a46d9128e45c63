import EPPlacement
import Testing

@Suite struct RoutingChancesTests {
  struct Router: CustomTestStringConvertible, Sendable {
    var experts: Int
    var topK: Int
    var groups = 1
    var kept = 1
    var skew: Double
    var testDescription: String { "\(topK) of \(experts), \(kept) of \(groups), \(skew)" }
  }

  static let routers: [Router] = [
    Router(experts: 16, topK: 1, skew: 1.2), Router(experts: 32, topK: 4, skew: 0),
    Router(experts: 64, topK: 6, skew: 0.5), Router(experts: 384, topK: 8, skew: 1),
    Router(experts: 64, topK: 8, groups: 8, kept: 4, skew: 0),
    Router(experts: 256, topK: 8, groups: 8, kept: 4, skew: 0.6),
  ]

  /// Tokens drawn one by one: groups, then experts of those, each in proportion to its weight.
  private func drawn(
    _ router: Router, _ weights: [Double], tokens: Int, _ visit: (_ experts: [Int]) -> Void
  ) {
    var random = SeededRandom(seed: 7)
    func different(_ weights: [Double], _ count: Int) -> [Int] {
      var (left, chosen) = (weights, [Int]())
      for _ in 0..<count {
        var rest = random.unit() * left.reduce(0, +)
        let place = left.firstIndex { weight in
          rest -= weight
          return rest < 0 && weight > 0
        }
        guard let place = place ?? left.lastIndex(where: { $0 > 0 }) else { break }
        chosen.append(place)
        left[place] = 0
      }
      return chosen
    }
    let size = router.experts / router.groups
    let sums = (0..<router.groups).map { weights[($0 * size)..<(($0 + 1) * size)].reduce(0, +) }
    for _ in 0..<tokens {
      let groups = different(sums, router.kept)
      visit(
        different(
          weights.indices.map { groups.contains($0 / size) ? weights[$0] : 0 }, router.topK))
    }
  }

  /// Popular experts lie anywhere.
  private func loads(_ router: Router) throws -> [Double] {
    try LoadDistribution.zipf(exponent: router.skew).loads(
      layers: 1, experts: router.experts, tokens: 1e6, seed: 2
    ).feasible(topK: router.topK).rows[0]
  }

  @Test(arguments: routers) func expertsGetTheirLoadsAndNodesTheirVisits(router: Router) throws {
    let loads = try loads(router)
    let chances = RoutingChances(
      loads: loads, topK: router.topK, groups: router.groups, kept: router.kept)
    let (tokens, nodes) = (8000, 4)
    var chosen = Array(repeating: 0.0, count: router.experts)
    var visited = Array(repeating: 0.0, count: nodes)
    drawn(router, chances.weights, tokens: tokens) { experts in
      for expert in experts { chosen[expert] += 1 }
      for node in Set(experts.map { $0 * nodes / router.experts }) { visited[node] += 1 }
    }
    let total = loads.reduce(0, +)
    for (expert, load) in loads.enumerated() {
      let expected: Double = load / total * Double(router.topK * tokens)
      let bound: Double = 0.05 * expected + 4 * expected.squareRoot()
      #expect(abs(chosen[expert] - expected) < bound, "expert \(expert)")
    }
    let slots = Array(0..<router.experts)
    for (node, chance) in chances.visits(slots: slots, each: router.experts / nodes).enumerated() {
      let off: Double = chance - visited[node] / Double(tokens)
      #expect(abs(off) < 0.04, "node \(node): \(off)")
    }
  }

  @Test func replicasShareTheVisitsOfAnExpert() throws {
    let chances = RoutingChances(loads: [3, 1, 1, 1], topK: 1)
    let visits = chances.visits(slots: [0, 1, 0, 2, 3, -1], each: 2)
    // Half of the tokens go to the first expert, a quarter of them to each replica.
    for (visit, expected) in zip(visits, [2.5 / 6, 2.5 / 6, 1.0 / 6]) {
      #expect(abs(visit - expected) < 1e-3)
    }
  }

  @Test func noExpertIsInATokenTwice() throws {
    let loads = try ExpertLoads(rows: [[97, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 5]])
    let feasible = loads.feasible(topK: 2)
    let other: Double = 50.0 / 3
    #expect(feasible.rows[0] == [50, other, other, other])
    #expect(feasible.rows[1] == loads.rows[1])
    // Nothing else has a load: there is nothing to give the rest to.
    #expect(feasible.rows[2] == loads.rows[2])
    #expect(loads.feasible(topK: 1) == loads)
  }
}
