import Testing

@testable import EPRuntime

/// Which experts to keep: by `ExpertHistory` and what `ExpertOdds` learns, against the alternatives.
@Suite struct ExpertHistoryTests {
  /// What is asked of a cache, a layer after the other, token after token.
  struct Trace {
    var layers: Int
    var experts: Int
    var uses: [[Int]]

    /// Tokens that choose `topK` of the experts of each layer, expert `r` by rank in proportion to
    /// `(r + 1)^-skew`; every `drift` tokens two ranks of each layer are exchanged. Each choice of the token
    /// before is kept with the chance `stay`.
    init(
      layers: Int, experts: Int, topK: Int, tokens: Int, skew: Double, drift: Int, stay: Double,
      seed: Int
    ) {
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
          var chosen =
            token == 0 || stay == 0
            ? []
            : uses[uses.count - layers].filter { _ in
              Double.random(in: 0..<1, using: &random) < stay
            }
          for expert in chosen {
            if let rank = ranks[layer].firstIndex(of: expert - layer * experts) { left[rank] = 0 }
          }
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

  /// The share of uses that find their expert, with room for `capacity` of them all: what a step asks for
  /// is read, and then what will be `wait`ed for longest goes.
  private func hitRate(
    _ trace: Trace, capacity: Int, wait: (_ expert: Int, _ time: Int) -> Double,
    note: (_ chosen: [Int], _ time: Int) -> Void
  ) -> Double {
    var resident: Set<Int> = []
    var (hits, all) = (0, 0)
    for (time, chosen) in trace.uses.enumerated() {
      note(chosen, time)
      hits += chosen.count { resident.contains($0) }
      all += chosen.count
      resident.formUnion(chosen)
      if resident.count <= capacity { continue }
      let order = resident.map { (wait($0, time), $0) }.sorted { $0 > $1 }
      for (_, expert) in order.prefix(resident.count - capacity) { resident.remove(expert) }
    }
    return Double(hits) / Double(all)
  }

  private struct Rates {
    /// By what is learnt, by the number of uses, by the last use, knowing the future.
    var learnt = 0.0
    var counted = 0.0
    var recent = 0.0
    var best = 0.0
  }

  private func rates(_ trace: Trace, capacity: Int) -> Rates {
    let (layers, experts) = (trace.layers, trace.experts)
    var rates = Rates()
    var odds = ExpertOdds()
    var histories = Array(repeating: ExpertHistory(experts: experts), count: layers)
    rates.learnt = hitRate(
      trace, capacity: capacity,
      wait: { expert, time in
        let (layer, own) = expert.quotientAndRemainder(dividingBy: experts)
        let turn = (layer - time % layers - 1 + layers) % layers
        return 1 / histories[layer].chance(of: own, by: odds) + Double(turn) / Double(layers)
      },
      note: { chosen, time in
        histories[time % layers].note(chosen.map { $0 % experts }, learning: &odds)
      })
    var counts = Array(repeating: 0.0, count: layers * experts)
    rates.counted = hitRate(
      trace, capacity: capacity, wait: { expert, _ in -counts[expert] },
      note: { chosen, _ in for expert in chosen { counts[expert] += 1 } })
    var last = Array(repeating: -1.0, count: layers * experts)
    rates.recent = hitRate(
      trace, capacity: capacity, wait: { expert, _ in -last[expert] },
      note: { chosen, time in for expert in chosen { last[expert] = Double(time) } })
    // Belady's rule: what is needed last goes.
    var future = Array(repeating: [Int](), count: layers * experts)
    for (time, chosen) in trace.uses.enumerated().reversed() {
      for expert in chosen { future[expert].append(time) }
    }
    rates.best = hitRate(
      trace, capacity: capacity,
      wait: { expert, _ in future[expert].last.map(Double.init) ?? .infinity },
      note: { chosen, _ in for expert in chosen { future[expert].removeLast() } })
    return rates
  }

  @Test(arguments: [0, 0.5, 1.0], [0, 0.3])
  func whatIsLearntIsAsGoodAsTheBetterRule(skew: Double, stay: Double) {
    let trace = Trace(
      layers: 6, experts: 32, topK: 4, tokens: 200, skew: skew, drift: 20, stay: stay,
      seed: Int(skew * 10))
    for share in [6, 3] {
      let rates = rates(trace, capacity: 6 * 32 / share)
      let what: Comment = "skew \(skew), stay \(stay), 1/\(share): \(rates)"
      #expect(rates.learnt > 0.97 * max(rates.counted, rates.recent), what)
      #expect(max(rates.learnt, rates.counted, rates.recent) <= rates.best, what)
      // Where both tell something, together they tell more.
      if skew > 0 && stay > 0 {
        #expect(rates.learnt > 1.04 * max(rates.counted, rates.recent), what)
      }
    }
  }

  @Test func chancesAreThoseOfWhatIsUsed() {
    var odds = ExpertOdds()
    var history = ExpertHistory(experts: 8)
    #expect(history.chance(of: 0, by: odds) == 0)
    // The first is used always, the second every other time, the third never.
    for step in 0..<2000 { history.note(step % 2 == 0 ? [0, 1] : [0, 7], learning: &odds) }
    #expect(abs(odds.weights.sum() - 1) < 1e-9)
    #expect(history.chance(of: 0, by: odds) > 0.95)
    // The last step says that it will not be used, which is wrong each time.
    #expect(odds.weights[0] < 0.01)
    #expect(abs(history.chance(of: 1, by: odds) - 0.5) < 0.05)
    #expect(history.chance(of: 2, by: odds) < 0.02 && history.chance(of: 2, by: odds) > 0)
  }

  @Test func whatIsForeseenIsCounted() {
    var foresight = Foresight()
    let (first, second) = (
      Foresight.Kind(place: 0, isInMemory: false), Foresight.Kind(place: 1, isInMemory: false)
    )
    #expect(foresight.chance(first) == 0.5)
    for step in 0..<100 {
      foresight.note(first, isRight: step % 4 > 0)
      foresight.note(second, isRight: step % 4 == 0)
      foresight.note(Foresight.Kind(place: 1, isInMemory: true), isRight: true)
    }
    #expect(foresight.chance(first) == 76.0 / 102)
    #expect(foresight.chance(second) == 26.0 / 102)
    // The number of places is no bound of a router's.
    #expect(foresight.chance(Foresight.Kind(place: 500, isInMemory: true)) == 0.5)
  }
}
