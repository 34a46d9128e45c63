import Testing

@testable import EPRuntime

/// Which experts to keep: by use, as `ExpertHistory` counts it, against the alternatives.
@Suite struct ExpertHistoryTests {
  /// What is asked of a cache, a layer after the other, token after token.
  struct Trace {
    var layers: Int
    var experts: Int
    var uses: [[Int]]

    /// Tokens that choose `topK` of the experts of each layer, expert `r` by rank in proportion to
    /// `(r + 1)^-skew`; every `drift` tokens two ranks of each layer are exchanged.
    init(layers: Int, experts: Int, topK: Int, tokens: Int, skew: Double, drift: Int, seed: Int) {
      self.layers = layers
      self.experts = experts
      var random = SmallGenerator(seed)
      var ranks = (0..<layers).map { _ in (0..<experts).shuffled(using: &random) }
      func weight(_ rank: Int) -> Double {
        // A power by repeated roots, since there is no need for more than a shape.
        var value = 1.0
        for _ in 0..<Int(skew * 4) { value *= Double(rank + 1).squareRoot().squareRoot() }
        return 1 / value
      }
      let weights = (0..<experts).map(weight)
      uses = []
      for token in 0..<tokens {
        for layer in 0..<layers {
          var left = weights
          var chosen: [Int] = []
          while chosen.count < topK {
            var draw = Double.random(in: 0..<left.reduce(0, +), using: &random)
            var rank = 0
            while rank + 1 < experts, draw >= left[rank] {
              draw -= left[rank]
              rank += 1
            }
            if left[rank] == 0 { continue }
            left[rank] = 0
            chosen.append(layer * experts + ranks[layer][rank])
          }
          uses.append(chosen)
          if drift > 0 && token % drift == drift - 1 {
            ranks[layer].swapAt(
              Int.random(in: 0..<experts, using: &random),
              Int.random(in: 0..<experts, using: &random))
          }
        }
      }
    }
  }

  /// The share of uses that find their expert, with room for `capacity` of them all.
  private func hitRate(
    _ trace: Trace, capacity: Int, evict: (_ resident: Set<Int>, _ time: Int) -> Int,
    note: (_ expert: Int, _ time: Int) -> Void
  ) -> Double {
    var resident: Set<Int> = []
    var (hits, all) = (0, 0)
    for (time, chosen) in trace.uses.enumerated() {
      for expert in chosen { note(expert, time) }
      for expert in chosen {
        all += 1
        if resident.contains(expert) {
          hits += 1
          continue
        }
        if resident.count == capacity {
          resident.remove(evict(resident.subtracting(chosen), time))
        }
        resident.insert(expert)
      }
    }
    return Double(hits) / Double(all)
  }

  private func rates(_ trace: Trace, capacity: Int) -> (used: Double, recent: Double, best: Double)
  {
    let count = trace.layers * trace.experts
    var histories = Array(repeating: ExpertHistory(), count: count)
    let used = hitRate(
      trace, capacity: capacity,
      evict: { resident, time in
        resident.min {
          (histories[$0].score(at: time / trace.layers), $0)
            < (histories[$1].score(at: time / trace.layers), $1)
        } ?? 0
      }, note: { histories[$0].use(at: $1 / trace.layers) })
    var last = Array(repeating: -1, count: count)
    let recent = hitRate(
      trace, capacity: capacity,
      evict: { resident, _ in resident.min { (last[$0], $0) < (last[$1], $1) } ?? 0 },
      note: { last[$0] = $1 })
    // Belady's rule, which knows the future: what is needed last goes.
    var future = Array(repeating: [Int](), count: count)
    for (time, chosen) in trace.uses.enumerated().reversed() {
      for expert in chosen { future[expert].append(time) }
    }
    let best = hitRate(
      trace, capacity: capacity,
      evict: { resident, _ in
        resident.max { (future[$0].last ?? .max, $0) < (future[$1].last ?? .max, $1) } ?? 0
      }, note: { expert, _ in future[expert].removeLast() })
    return (used, recent, best)
  }

  @Test(arguments: [0.5, 1.0, 1.5], [0, 20])
  func countingUsesBeatsForgettingTheLeastRecent(skew: Double, drift: Int) {
    let trace = Trace(
      layers: 6, experts: 32, topK: 4, tokens: 250, skew: skew, drift: drift,
      seed: Int(skew * 10) + drift)
    for share in [8, 4, 2] {
      let rates = rates(trace, capacity: 6 * 32 / share)
      let what = "skew \(skew), drift \(drift), 1/\(share): \(rates)"
      #expect(rates.used > rates.recent, "\(what)")
      #expect(rates.used <= rates.best && rates.recent <= rates.best, "\(what)")
      #expect(rates.used > 0.4 * rates.best, "\(what)")
    }
  }

  @Test func usesCountHalfAfterTheHalfLife() {
    var history = ExpertHistory()
    #expect(history.score(at: 5) == 0)
    history.use(at: 10)
    #expect(history.score(at: 10) == 1)
    #expect(abs(history.score(at: 10 + Int(ExpertHistory.halfLife)) - 0.5) < 1e-12)
    history.use(at: 10 + Int(ExpertHistory.halfLife))
    #expect(abs(history.score(at: 10 + Int(ExpertHistory.halfLife)) - 1.5) < 1e-12)
  }
}
