import Testing

@testable import EPPlacement

/// Experts on ranks of unlike speed and room.
@Suite struct UnlikePlacementTests {
  private struct Case {
    var weights: [Double]
    var speeds: [Double]
    var room: [Int]
  }

  private func random(_ seed: UInt64, experts: ClosedRange<Int>, ranks: ClosedRange<Int>) -> Case {
    var random = SeededRandom(seed: seed)
    func number(_ range: ClosedRange<Int>) -> Int {
      range.lowerBound + Int(random.unit() * Double(range.count))
    }
    let (count, ranks) = (number(experts), number(ranks))
    var room = (0..<ranks).map { _ in number(0...count) }
    room[0] += max(count - room.reduce(0, +), 0)
    return Case(
      weights: (0..<count).map { _ in Double(number(0...100)) },
      speeds: (0..<ranks).map { _ in 0.1 + 4 * random.unit() }, room: room)
  }

  @Test func everyExpertIsHeldOnceWhereThereIsRoom() throws {
    for seed in 0..<200 {
      let made = random(UInt64(seed), experts: 1...40, ranks: 1...6)
      let placed = try UnlikePlacement(
        weights: made.weights, speeds: made.speeds, room: made.room)
      #expect(placed.experts.flatMap { $0 }.sorted() == Array(made.weights.indices))
      #expect(zip(placed.experts, made.room).allSatisfy { $0.count <= $1 })
      let times = zip(placed.experts, made.speeds).map { held, speed in
        held.reduce(0) { $0 + made.weights[$1] } / speed
      }
      #expect(abs((times.max() ?? 0) - placed.most) <= 1e-9 * placed.most)
      #expect(placed.bound <= placed.most)
    }
  }

  @Test func theLastRankIsDoneNearlyAsEarlyAsCanBe() throws {
    var worst = 1.0
    for seed in 0..<150 {
      let made = random(UInt64(1000 + seed), experts: 2...7, ranks: 2...3)
      let placed = try UnlikePlacement(
        weights: made.weights, speeds: made.speeds, room: made.room)
      let best = least(made)
      #expect(placed.bound <= best * (1 + 1e-9))
      if best > 0 { worst = max(worst, placed.most / best) }
    }
    #expect(worst <= 1.12, "\(worst)")
  }

  /// The best of all placements.
  private func least(_ made: Case) -> Double {
    var best = Double.infinity
    var loads = made.speeds.map { _ in 0.0 }
    var free = made.room
    func place(_ expert: Int) {
      if expert == made.weights.count {
        best = min(best, zip(loads, made.speeds).map { $0 / $1 }.max() ?? 0)
        return
      }
      for rank in loads.indices where free[rank] > 0 {
        loads[rank] += made.weights[expert]
        free[rank] -= 1
        place(expert + 1)
        loads[rank] -= made.weights[expert]
        free[rank] += 1
      }
    }
    place(0)
    return best
  }

  @Test func aFastRankWithLittleRoomHoldsTheHeaviest() throws {
    // An accelerator ten times as fast with room for two, and a processor with room for all.
    let placed = try UnlikePlacement(
      weights: [1, 9, 1, 1, 8, 1], speeds: [10, 1], room: [2, 6])
    #expect(placed.experts == [[1, 4], [0, 2, 3, 5]])
    #expect(throws: PlacementError.self) {
      try UnlikePlacement(weights: [1, 1, 1], speeds: [1, 1], room: [1, 1])
    }
  }
}
