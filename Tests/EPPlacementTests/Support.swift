import EPPlacement
import Glibc

/// Small and medium inputs, with ties, zeros, and experts far heavier than others among them.
struct RandomInput: CustomStringConvertible {
  var shape: PlacementShape
  var weights: [Double]

  init(_ random: inout SeededRandom, mostExperts: Int = 40, mostRanks: Int = 12) throws {
    while true {
      let experts = 1 + random.below(mostExperts)
      let ranks = 1 + random.below(mostRanks)
      let least = (experts + ranks - 1) / ranks
      let slots = least + random.below(3)
      if slots > experts { continue }
      shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slots)
      let kind = random.below(5)
      weights = (0..<experts).map { _ in
        switch kind {
        case 0: Double(random.below(4))
        case 1: Double(random.below(1000))
        case 2: exp(2 * random.normal())
        case 3: random.below(8) == 0 ? 1000 * random.unit() : random.unit()
        default: 1
        }
      }
      return
    }
  }

  var description: String {
    "\(shape.experts) experts, \(shape.ranks) ranks of \(shape.slotsPerRank): \(weights)"
  }
}

/// A number from the environment, for longer runs.
func count(_ name: String, normally: Int) -> Int {
  guard let text = unsafe getenv(name) else { return normally }
  return unsafe Int(String(cString: text)) ?? normally
}
