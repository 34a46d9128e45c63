import EPModel
import Glibc
import Testing

/// Routers against their description, written down again with sorting where the kernel scans.
@Suite struct RouteKernelTests {
  static let experts = 8
  static let rows = 40
  static let logits = numbers(rows * experts, 9).map { $0 * 2 }

  private func row(_ index: Int) -> [Double] {
    RouteKernelTests.logits[(index * 8)..<(index * 8 + 8)].map(Double.init)
  }

  private func softmax(_ x: [Double]) -> [Double] {
    let sum = x.reduce(0) { $0 + exp($1) }
    return x.map { exp($0) / sum }
  }

  private func best(_ scores: [Double], _ count: Int, among: [Int]? = nil) -> [Int] {
    Array(
      (among ?? Array(scores.indices)).sorted { (scores[$1], $0) < (scores[$0], $1) }.prefix(count))
  }

  private func route(
    _ attributes: Attributes, logits: [Float]? = RouteKernelTests.logits, bias: [Float]? = nil,
    ids: [Int32]? = nil, table: [Float]? = nil, modality: [Int32]? = nil,
    outer: ([Int32], [Float])? = nil, sequences: [(rows: Int, position: Int)] = [(rows, 0)]
  ) throws -> [(experts: [Int], weights: [Double])] {
    var attributes = attributes
    attributes["experts"] = attributes["experts"] ?? 8
    attributes["selection"] = attributes["selection"] ?? "top_k"
    var harness = KernelHarness(sequences: sequences)
    if let logits { harness.value("logits", [.tokens, Axis("experts", 8)], logits) }
    if let bias { harness.weight("bias", [Axis("experts", 8)], bias) }
    if let ids { harness.value("ids", [.tokens], indices: ids) }
    if let table {
      harness.weight("table", [.vocabulary(table.count / 2), Axis("top_k", 2)], table)
    }
    if let modality { harness.value("modality", [.tokens], indices: modality) }
    if let outer {
      harness.value("outer_indices", [.tokens, Axis("top_k", 2)], indices: outer.0)
      harness.value("outer_weights", [.tokens, Axis("top_k", 2)], outer.1)
    }
    let made = try harness.run(.route, attributes)
    let width = made[0].count / RouteKernelTests.rows
    return (0..<RouteKernelTests.rows).map { row in
      let range = (row * width)..<((row + 1) * width)
      return (made[0][range].map { Int($0) }, made[1][range].map(Double.init))
    }
  }

  private func expect(
    _ made: (experts: [Int], weights: [Double]), _ experts: [Int], _ weights: [Double],
    _ comment: String = ""
  ) {
    #expect(made.experts == experts, "\(comment)")
    #expect(
      made.weights.count == weights.count
        && zip(made.weights, weights).allSatisfy { abs($0 - $1) < 1e-6 }, "\(comment)")
  }

  @Test func scoringsWeighTheSelected() throws {
    let scorings: [(String, ([Double]) -> [Double])] = [
      ("softmax", softmax), ("none", { $0 }), ("sigmoid", { $0.map { 1 / (1 + exp(-$0)) } }),
      ("sqrt_softplus", { $0.map { log(1 + exp($0)).squareRoot() } }),
    ]
    for (name, score) in scorings {
      let made = try route(["scoring": .text(name), "top_k": 3, "scale": 2])
      for index in made.indices {
        let scores = score(row(index))
        let chosen = best(scores, 3)
        expect(made[index], chosen, chosen.map { 2 * scores[$0] }, name)
      }
    }
    for (index, made) in try route(["scoring": "softmax_selected", "top_k": 3]).enumerated() {
      let chosen = best(row(index), 3)
      expect(made, chosen, softmax(chosen.map { row(index)[$0] }))
    }
  }

  @Test func theBiasSelectsAndDoesNotWeigh() throws {
    let bias = numbers(8, 3)
    let made = try route(
      [
        "scoring": "sigmoid", "top_k": 3, "normalize": true, "normalize_epsilon": 0.01,
        "scale": 2.5,
      ], bias: bias)
    for index in made.indices {
      let scores = row(index).map { 1 / (1 + exp(-$0)) }
      let chosen = best(zip(scores, bias).map { $0 + Double($1) }, 3)
      let sum = chosen.reduce(0.01) { $0 + scores[$1] }
      expect(made[index], chosen, chosen.map { 2.5 * scores[$0] / sum })
    }
    let least = try route([
      "scoring": "softmax", "top_k": 2, "normalize": true, "normalize_minimum": 0.9,
    ])
    for index in least.indices {
      let scores = softmax(row(index))
      let chosen = best(scores, 2)
      let sum = max(chosen.reduce(0) { $0 + scores[$1] }, 0.9)
      expect(least[index], chosen, chosen.map { scores[$0] / sum })
    }
  }

  @Test(arguments: ["max", "top2_sum"])
  func groupsLimitTheChoice(score: String) throws {
    let made = try route([
      "scoring": "softmax", "top_k": 3, "groups": 4, "groups_kept": 2,
      "group_score": .text(score),
    ])
    for index in made.indices {
      let scores = softmax(row(index))
      let ranks = (0..<4).map { group -> Double in
        let pair = [scores[2 * group], scores[2 * group + 1]]
        return score == "max" ? max(pair[0], pair[1]) : pair[0] + pair[1]
      }
      let allowed = best(ranks, 2).flatMap { [2 * $0, 2 * $0 + 1] }
      let chosen = best(scores, 3, among: allowed)
      expect(made[index], chosen, chosen.map { scores[$0] })
    }
  }

  @Test func topPStopsWhenItHasEnough() throws {
    let made = try route([
      "scoring": "softmax", "selection": "top_p", "top_p": 0.6, "top_k": 4,
    ])
    for index in made.indices {
      let scores = softmax(row(index))
      var chosen: [Int] = []
      for expert in best(scores, 4) {
        chosen.append(expert)
        if chosen.reduce(0, { $0 + scores[$1] }) >= 0.6 { break }
      }
      let rest = 4 - chosen.count
      expect(
        made[index], chosen + Array(repeating: -1, count: rest),
        chosen.map { scores[$0] } + Array(repeating: 0, count: rest))
    }
    #expect(Set(made.map { $0.experts.filter { $0 >= 0 }.count }).count > 1)
  }

  private func mix(_ x: UInt64) -> UInt64 {
    var x = x &+ 0x9e37_79b9_7f4a_7c15
    x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
    return x ^ (x >> 31)
  }

  @Test func hashesGoByTheToken() throws {
    let ids = (0..<RouteKernelTests.rows).map { Int32($0 % 13) }
    let made = try route(
      ["scoring": "softmax", "selection": "hash", "top_k": 3], ids: ids)
    for index in made.indices {
      let start = mix(UInt64(ids[index]))
      let chosen = (0..<3).map { Int((start &+ UInt64($0 * (8 / 3))) % 8) }
      expect(made[index], chosen, chosen.map { softmax(row(index))[$0] })
    }
    let table = (0..<26).map { Float(($0 * 5 + 3) % 8) }
    let listed = try route(
      ["scoring": "none", "selection": "hash", "top_k": 2], logits: nil, ids: ids, table: table)
    for index in listed.indices {
      expect(
        listed[index], (0..<2).map { Int(table[Int(ids[index]) * 2 + $0]) }, [1, 1])
    }
  }

  @Test func gumbelNoiseComesOfSeedPositionAndExpert() throws {
    let attributes: Attributes = [
      "scoring": "gumbel_softmax", "top_k": 2, "temperature": 0.5, "seed": 7,
    ]
    let made = try route(attributes, sequences: [(10, 3), (30, 0)])
    for index in made.indices {
      let position = index < 10 ? index + 3 : index - 10
      let scores = softmax(
        row(index).enumerated().map { expert, logit in
          let bits = mix(mix(mix(7) ^ UInt64(position)) ^ UInt64(expert))
          let u = (Double(bits >> 11) + 0.5) / 0x1p53
          return (logit - log(-log(u))) / 0.5
        })
      let chosen = best(scores, 2)
      expect(made[index], chosen, chosen.map { scores[$0] })
    }
    var quiet = attributes
    quiet["seed"] = nil
    for (index, made) in try route(quiet).enumerated() {
      let scores = softmax(row(index).map { $0 / 0.5 })
      expect(made, best(scores, 2), best(scores, 2).map { scores[$0] })
    }
  }

  @Test func sparseMixerSelectsTwice() throws {
    let jitter = 0.2
    for (index, made) in try route([
      "scoring": "sparse_mixer", "top_k": 2, "jitter": .real(jitter),
    ]).enumerated() {
      let z = row(index)
      var left = Array(0..<8)
      var chosen: [Int] = []
      var weights: [Double] = []
      for _ in 0..<2 {
        let top = best(z, 1, among: left)[0]
        let near = left.filter { (z[top] - z[$0]) / max(abs(z[$0]), z[top]) <= 2 * jitter }
        chosen.append(top)
        weights.append(exp(z[top]) / near.reduce(0) { $0 + exp(z[$1]) })
        left.removeAll { $0 == top }
      }
      expect(made, chosen, weights)
    }
  }

  @Test func capacityKeepsTheEarliest() throws {
    let made = try route(
      ["scoring": "softmax", "top_k": 2, "capacity_factor": 1.1], sequences: [(15, 0), (25, 4)])
    for rows in [0..<15, 15..<40] {
      let capacity = Int((1.1 * Double(rows.count) * 2 / 8).rounded(.up))
      var counts = Array(repeating: 0, count: 8)
      for index in rows {
        let scores = softmax(row(index))
        var chosen = best(scores, 2)
        var weights = chosen.map { scores[$0] }
        for place in 0..<2 {
          counts[chosen[place]] += 1
          if counts[chosen[place]] > capacity { (chosen[place], weights[place]) = (-1, 0) }
        }
        expect(made[index], chosen, weights)
      }
    }
    #expect(made.contains { $0.experts.contains(-1) })
  }

  @Test func modalitiesUseTheirExperts() throws {
    let modality = (0..<RouteKernelTests.rows).map { Int32($0 % 3) }
    let made = try route(
      ["scoring": "softmax", "top_k": 2, "partitions": [0, 3, 2, 6]], modality: modality)
    for index in made.indices {
      let allowed = [Array(0..<3), Array(2..<8), Array(0..<8)][Int(modality[index])]
      let chosen = best(row(index), 2, among: allowed)
      #expect(made[index].experts == chosen)
    }
  }

  @Test func hierarchicalRoutersChooseWithinGroups() throws {
    var groups: [Int32] = []
    for row in 0..<Int32(RouteKernelTests.rows) {
      groups += [row % 4, row % 5 == 0 ? -1 : 3 - row % 3]
    }
    let shares = numbers(RouteKernelTests.rows * 2, 5).map { abs($0) }
    let made = try route(
      ["scoring": "softmax", "top_k": 1, "groups": 4], outer: (groups, shares))
    for index in made.indices {
      var experts: [Int] = []
      var weights: [Double] = []
      for place in 0..<2 {
        let group = Int(groups[index * 2 + place])
        if group < 0 {
          (experts, weights) = (experts + [-1], weights + [0])
          continue
        }
        let scores = softmax(Array(row(index)[(2 * group)..<(2 * group + 2)]))
        let top = best(scores, 1)[0]
        experts.append(2 * group + top)
        weights.append(scores[top] * Double(shares[index * 2 + place]))
      }
      expect(made[index], experts, weights)
    }
  }

  @Test func tiesGoToTheLowerExpert() throws {
    let made = try route(
      ["scoring": "softmax", "top_k": 3],
      logits: Array(repeating: 0.5, count: 8 * RouteKernelTests.rows))
    #expect(made.allSatisfy { $0.experts == [0, 1, 2] })
  }
}
