import EPPlacement
import Testing

@Suite struct RebalanceTests {
  @Test func frontsKeepPlacementsWholeAndCountTheirCopies() throws {
    var random = SeededRandom(seed: 31)
    for _ in 0..<150 {
      let input = try RandomInput(&random, mostExperts: 30, mostRanks: 8)
      let shape = input.shape
      let old = try ExpertBalancer(shape: shape).place(weights: input.weights).slots
      let weights = input.weights.map { $0 * (0.5 + random.unit()) }
      let budget = random.below(12)
      let front = try Rebalancer(shape: shape).front(from: old, weights: weights, budget: budget)
      #expect(front.first?.slots == old)
      var copies = -1
      for point in front {
        #expect(shape.fault(in: point.slots) == nil, "\(input)")
        #expect(point.copies > copies && point.copies <= budget)
        #expect(shape.copies(from: old, to: point.slots) == point.copies)
        copies = point.copies
      }
    }
  }

  @Test func aFewCopiesRecoverMostOfWhatDriftTook() throws {
    let loads = try LoadDistribution.lognormal(sigma: 0.8).loads(
      layers: 4, experts: 64, tokens: 1e6, seed: 2)
    let shape = try PlacementShape(experts: 64, redundant: 32, ranks: 16)
    let old = try ExpertBalancer(shape: shape).place(loads).map(\.slots)
    var random = SeededRandom(seed: 5)
    let drifted = try ExpertLoads(
      rows: loads.rows.map { $0.map { $0 * (1 + 0.2 * (2 * random.unit() - 1)) } })
    let budget = shape.slots * 4 / 10
    let new = try Rebalancer(shape: shape, drift: 0).rebalance(old, for: drifted, budget: budget)
    #expect(new.reduce(0) { $0 + $1.copies } <= budget)
    for layer in old.indices {
      let loads = shape.rankLoads(slots: old[layer], weights: drifted.rows[layer])
      let before = loads.reduce(0, +) / 16 / (loads.max() ?? 1)
      #expect(new[layer].balance > before)
      #expect(new[layer].balance > 0.95)
    }
  }

  @Test func frontsForSplittingKeepTheirCopiesAndClaimNoMoreThanAnExactSplitGives() throws {
    var random = SeededRandom(seed: 41)
    for _ in 0..<16 {
      let input = try RandomInput(&random, mostExperts: 30, mostRanks: 8)
      let shape = input.shape
      let old = try ExpertBalancer(shape: shape).place(weights: input.weights).slots
      let weights = input.weights.map { $0 * (0.5 + random.unit()) }
      let budget = random.below(12)
      let front = try Rebalancer(shape: shape, sharing: .split).front(
        from: old, weights: weights, budget: budget)
      #expect(front.first?.slots == old)
      var copies = -1
      for point in front {
        #expect(shape.fault(in: point.slots) == nil, "\(input)")
        #expect(point.copies > copies && point.copies <= budget)
        #expect(shape.copies(from: old, to: point.slots) == point.copies)
        copies = point.copies
        let most = try TokenSplit(shape: shape, slots: point.slots).shares(weights: weights).most
        let mean = weights.reduce(0, +) / Double(shape.ranks)
        if most > 0 { #expect(point.balance <= mean / most + 1e-6, "\(input)") }
      }
    }
  }

  @Test func searchingForSplitsSplitsBetterThanSearchingForEvenShares() throws {
    let loads = try LoadDistribution.lognormal(sigma: 0.8).loads(
      layers: 4, experts: 64, tokens: 1e6, seed: 2)
    let shape = try PlacementShape(experts: 64, redundant: 32, ranks: 16)
    let old = try ExpertBalancer(shape: shape).place(loads).map(\.slots)
    var random = SeededRandom(seed: 6)
    func drifted(_ loads: ExpertLoads) throws -> ExpertLoads {
      try ExpertLoads(rows: loads.rows.map { $0.map { $0 * (1 + 0.3 * (2 * random.unit() - 1)) } })
    }
    let new = try drifted(loads)
    let next = try drifted(new)
    func balance(_ sharing: Rebalancer.Sharing) throws -> Double {
      let points = try Rebalancer(shape: shape, drift: 0.17, sharing: sharing).rebalance(
        old, for: new, budget: 4 * shape.slots / 20)
      #expect(points.reduce(0) { $0 + $1.copies } <= 4 * shape.slots / 20)
      var sum = 0.0
      for (point, row) in zip(points, next.rows) {
        let most = try TokenSplit(shape: shape, slots: point.slots).shares(weights: row).most
        sum += row.reduce(0, +) / 16 / most
      }
      return sum / 4
    }
    #expect(try balance(.split) > (try balance(.even)))
  }

  @Test func migrationsKeepEveryLayerWholeAndTheirBound() throws {
    var random = SeededRandom(seed: 37)
    for round in 0..<150 {
      let input = try RandomInput(&random, mostExperts: 30, mostRanks: 8)
      let shape = input.shape
      let balancer = try ExpertBalancer(shape: shape)
      var old: [[Int]] = []
      var new: [[Int]] = []
      for _ in 0..<2 {
        old.append(try balancer.place(weights: input.weights.shuffled(using: &random)).slots)
        new.append(try balancer.place(weights: input.weights.shuffled(using: &random)).slots)
      }
      let limit = 1 + round % 3
      let migration = try shape.migration(
        from: old, to: new, expertBytes: 10, bytesPerStep: 10 * limit)
      #expect(migration.worstStepBytes <= 10 * limit)
      var current = old
      for step in migration.steps {
        let before = current
        for copy in step {
          let held = before[copy.layer][
            (copy.from * shape.slotsPerRank)..<((copy.from + 1) * shape.slotsPerRank)]
          #expect(held.contains(copy.expert))
          #expect(copy.from != copy.to && copy.to == copy.slot / shape.slotsPerRank)
          current[copy.layer][copy.slot] = copy.expert
        }
        for layer in current.indices { #expect(shape.fault(in: current[layer]) == nil) }
      }
      #expect(current == migration.slots)
      for layer in old.indices {
        for rank in 0..<shape.ranks {
          let range = (rank * shape.slotsPerRank)..<((rank + 1) * shape.slotsPerRank)
          #expect(Set(current[layer][range]) == Set(new[layer][range]), "\(input)")
        }
      }
    }
  }

  @Test func policiesAreComparedOverATrace() throws {
    let first = try LoadDistribution.lognormal(sigma: 0.8).loads(
      layers: 2, experts: 32, tokens: 1e5, seed: 9)
    var random = SeededRandom(seed: 1)
    var windows = [first]
    for _ in 0..<5 {
      let rows = windows[windows.count - 1].rows.map { $0.map { $0 * (0.8 + 0.4 * random.unit()) } }
      windows.append(try ExpertLoads(rows: rows))
    }
    let trace = try LoadTrace(windows: windows)
    let shape = try PlacementShape(experts: 32, redundant: 16, ranks: 8, nodes: 2)
    let simulation = PolicySimulation(shape: shape, expertBytes: 1000, bytesPerStep: 1000)
    let nothing = try simulation.run(RebalancePolicy(action: .nothing), over: trace)
    let full = try simulation.run(RebalancePolicy(action: .full), over: trace)
    let part = try simulation.run(RebalancePolicy(action: .partial(budget: 0.1)), over: trace)
    #expect(nothing.copies == 0 && nothing.bytes == 0)
    #expect(part.balance > nothing.balance)
    #expect(part.bytes < full.bytes / 4)
    #expect(part.worstStepBytes <= 1000 && full.worstStepBytes > 1000)
    let lazy = try simulation.run(
      RebalancePolicy(action: .partial(budget: 0.1), period: 2, threshold: 0.99), over: trace)
    #expect(lazy.rebalances <= part.rebalances)
  }
}
