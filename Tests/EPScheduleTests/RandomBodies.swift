import EPSchedule

/// A generator that gives the same numbers for the same seed (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: Int) { state = UInt64(seed) }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

extension LoopBody {
  /// Any body of `count` jobs on two resources: forks, joins, and results of earlier iterations.
  static func random(_ count: Int, seed: Int, longest: Int) -> LoopBody {
    var numbers = SeededNumbers(seed)
    var body = LoopBody()
    for _ in 0..<count {
      body.add(
        Job(
          duration: Int.random(in: 0...longest, using: &numbers),
          resource: Int.random(in: 0...1, using: &numbers)))
    }
    for to in 0..<count {
      for from in 0..<count where Int.random(in: 0..<3, using: &numbers) == 0 {
        if from < to {
          let duration = body.jobs[from].duration
          let delay =
            Bool.random(using: &numbers) ? duration : Int.random(in: 0...3, using: &numbers)
          body.add(Dependency(from: from, to: to, delay: delay))
        } else if Bool.random(using: &numbers) {
          body.add(to, after: from, distance: Int.random(in: 1...2, using: &numbers))
        }
      }
    }
    return body
  }

  /// Micro-batches of one layer: compute and communication by turns, with a side job such as shared
  /// experts that may run beside an exchange.
  static func layers(
    _ stages: [Int], beside: Int? = nil, batches: Int, ratios: [Int] = [1]
  ) -> LoopBody {
    var body = LoopBody()
    for batch in 0..<batches {
      let ratio = ratios[batch % ratios.count]
      var chain: [Int] = []
      for (index, duration) in stages.enumerated() {
        chain.append(
          body.add(Job(duration: duration * ratio, resource: index % 2, batch: batch)))
        if index > 0 { body.add(chain[index], after: chain[index - 1]) }
      }
      let last = chain[chain.count - 1]
      body.add(chain[0], after: last, distance: 1)
      if let beside {
        let job = body.add(Job(duration: beside * ratio, resource: 0, batch: batch))
        body.add(job, after: chain[0])
        body.add(last, after: job)
      }
    }
    return body
  }
}
