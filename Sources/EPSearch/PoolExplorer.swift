internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

/// The points of pools of one role and, but for unified ones, one number of devices that may be among
/// the best.
///
/// Branch and bound over boxes of sizes: what a step takes at least does not get less with more
/// sequences or tokens (`StepPricer.rough`), so the smallest sizes of a box bound the time of all in it
/// and the largest ones what they deliver. Points are worked out with what their steps take at least;
/// one goes, or a box of them, when another point is as good even with what its steps take at most.
struct PoolExplorer {
  let evaluator: PoolEvaluator
  /// Points at their worst of which none is at least as good as another in both respects.
  private(set) var front = Front()
  private var kept: [PoolPoint] = []
  private var early: [PoolPoint] = []
  private var earliest = Double.infinity
  /// Points worked out.
  private(set) var evaluations = 0
  /// What separate pools do, by seconds between tokens and requests a second of the whole cluster.
  /// What a unified pool does less well is of interest only as long as it may be the best one.
  var rivals = Front()
  /// What the last of the rows that separate pools fill delivers; nothing where they leave room.
  var floor = 0.0

  /// What sums lose to rounding, at most.
  static let rounding = 1e-9

  private var problem: SearchProblem { evaluator.problem }

  init(_ evaluator: PoolEvaluator) { self.evaluator = evaluator }

  /// The points that may be on the front once they are worked out exactly.
  var points: [PoolPoint] {
    kept.filter {
      isOpen($0) && !isBeyond($0.cost(problem), limit: problem.limit(of: $0.shape.role))
    }
  }

  /// The points whose first token may come earliest, whatever the limit.
  var earliestPoints: [PoolPoint] {
    early.filter { $0.timeToFirstToken <= earliest }
  }

  /// Takes all points of a shape into account.
  mutating func explore(_ shape: PoolShape) {
    switch shape.role {
    case .decode: exploreDecode(shape)
    case .prefill: explorePrefill(shape)
    case .unified: exploreUnified(shape)
    }
  }

  private func prunes(cost: Double, gain: Double, limit: Double) -> Bool {
    isBeyond(cost, limit: limit) || !isOpen(cost: cost, gain: gain)
  }

  /// Twice the limit is as far as tables of trade-offs reach; where none keeps it, what comes closest.
  private func isBeyond(_ cost: Double, limit: Double) -> Bool {
    guard cost > 2 * limit, let least = front.entries.first?.cost else { return false }
    return cost > least
  }

  /// The last index of ascending sizes whose weights and caches fit; nil where none does. What else a
  /// device holds is dearer to add up, and looked at where it matters.
  private func last(_ shape: PoolShape, _ sizes: [(sequences: Int, promptTokens: Int)]) -> Int? {
    guard let holds = evaluator.holdsWeightsAndCaches(shape) else { return nil }
    return last(sizes.count) { holds(sizes[$0].sequences, sizes[$0].promptTokens) }
  }

  /// The last of ascending sizes that fit, from those that weights and caches leave.
  private func lastThatFits(
    _ shape: PoolShape, _ sizes: [(sequences: Int, promptTokens: Int)], upTo held: Int
  ) -> Int? {
    func fits(_ index: Int) -> Bool {
      evaluator.fits(
        shape, sequences: sizes[index].sequences, promptTokens: sizes[index].promptTokens)
    }
    return fits(held) ? held : last(held, fits)
  }

  /// The last index for which something holds that holds for all before, found by halving.
  private func last(_ count: Int, _ holds: (Int) -> Bool) -> Int? {
    if count == 0 || !holds(0) { return nil }
    var (low, high) = (0, count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if holds(middle) { low = middle } else { high = middle - 1 }
    }
    return low
  }

  private mutating func exploreDecode(_ shape: PoolShape) {
    let sizes = problem.space.sequences
    guard let held = last(shape, sizes.map { ($0, 0) }) else { return }
    var most: Int?
    var boxes = [0...held]
    while let box = boxes.popLast() {
      if let most, box.lowerBound > most { continue }
      evaluations += 1
      // Kernels that hold no more rows hold no more of any larger size.
      let sequences = sizes[box.lowerBound]
      guard let rough = evaluator.decodePoint(shape, sequences: sequences, depth: .rough) else {
        continue
      }
      if isOpen(rough) {
        most = most ?? lastThatFits(shape, sizes.map { ($0, 0) }, upTo: held) ?? -1
        if box.lowerBound > most ?? held { continue }
        // Where only larger steps have micro-batches small enough for exchanges there is no point.
        if let least = evaluator.decodePoint(shape, sequences: sequences, depth: .bound) {
          take(least, evaluator.decodePoint(shape, sequences: sequences, depth: .most))
        }
      }
      if box.count == 1 { continue }
      let largest = Double(sizes[min(box.upperBound, most ?? held)]) / Double(sequences)
      if prunes(
        cost: rough.timePerToken * (1 - Self.rounding),
        gain: rough.requestRate * largest * (1 + Self.rounding), limit: problem.timePerToken)
      {
        continue
      }
      boxes += PoolExplorer.halves(of: box)
    }
  }

  private mutating func explorePrefill(_ shape: PoolShape) {
    let sizes = problem.space.prefillTokens
    guard let held = last(shape, sizes.map { (0, $0) }) else { return }
    var most: Int?
    var boxes = [0...held]
    while let box = boxes.popLast() {
      if let most, box.lowerBound > most { continue }
      evaluations += 1
      let tokens = sizes[box.lowerBound]
      guard let rough = evaluator.prefillPoint(shape, tokens: tokens, depth: .rough) else {
        continue
      }
      if isOpen(rough) || isEarly(rough) {
        most = most ?? lastThatFits(shape, sizes.map { (0, $0) }, upTo: held) ?? -1
        if box.lowerBound > most ?? held { continue }
        if let least = evaluator.prefillPoint(shape, tokens: tokens, depth: .bound) {
          let most = evaluator.prefillPoint(shape, tokens: tokens, depth: .most)
          note(least, most)
          take(least, most)
        }
      }
      if box.count == 1 { continue }
      let largest = Double(sizes[min(box.upperBound, most ?? held)])
      let steps = (problem.tokensRead / largest).rounded(.up) + 0.5
      if prunes(
        cost: steps * rough.step * (1 - Self.rounding),
        gain: rough.requestRate * largest / Double(tokens) * (1 + Self.rounding),
        limit: problem.timeToFirstToken)
      {
        continue
      }
      boxes += PoolExplorer.halves(of: box)
    }
  }

  private func isOpen(_ point: PoolPoint) -> Bool {
    isOpen(cost: point.cost(problem), gain: point.gain(problem))
  }

  /// Whether no first token is known to come sooner.
  private func isEarly(_ point: PoolPoint) -> Bool {
    point.timeToFirstToken <= earliest
  }

  /// Whether separate pools do better than a unified one that good at best, and fill all rows so.
  private func isBeaten(cost: Double, gain: Double) -> Bool {
    gain < floor * (1 - 1e-8) && rivals.dominates(cost: cost, gain: gain)
  }

  /// Whether a point that good at best may be one to keep.
  private func isOpen(cost: Double, gain: Double) -> Bool {
    // A point that is known exactly does not stand in its own way.
    !front.dominates(cost: cost * (1 - 1e-12), gain: gain * (1 + 1e-12))
  }

  /// Takes a point into account, at its best and at its worst.
  private mutating func take(_ point: PoolPoint, _ most: PoolPoint?) {
    if isOpen(point) { kept.append(point) }
    if let most { front.insert(most, cost: most.cost(problem), gain: most.gain(problem)) }
  }

  private mutating func note(_ point: PoolPoint, _ most: PoolPoint?) {
    if !isEarly(point) { return }
    if let most { earliest = min(earliest, most.timeToFirstToken) }
    early.append(point)
  }

  private mutating func exploreUnified(_ shape: PoolShape) {
    let (sizes, chunks) = (problem.space.sequences, problem.space.chunks)
    guard let first = chunks.first, let most = last(shape, sizes.map { ($0, first) }) else {
      return
    }
    var boxes = [(sequences: 0...most, chunks: 0...(chunks.count - 1))]
    while let box = boxes.popLast() {
      let (sequences, chunk) = (sizes[box.sequences.lowerBound], chunks[box.chunks.lowerBound])
      evaluations += 1
      // Decoding alone, or one sequence with the chunk, takes no longer than both: known already.
      if let least = evaluator.roughUnifiedPoint(shape, sequences: sequences, chunk: chunk),
        !isOpen(unified: least),
        prunes(unified: least, sizes[box.sequences.upperBound], chunks[box.chunks.upperBound])
      {
        continue
      }
      guard
        let rough = evaluator.unifiedPoint(
          shape, sequences: sequences, chunk: chunk, depth: .rough)
      else { continue }
      if isOpen(unified: rough),
        let least = evaluator.unifiedPoint(
          shape, sequences: sequences, chunk: chunk, depth: .bound), isOpen(unified: least)
      {
        // Memory is dearer to work out than a bound on time: only where it matters.
        if !evaluator.fits(shape, sequences: sequences, promptTokens: chunk) { continue }
        take(
          unified: least,
          evaluator.unifiedPoint(shape, sequences: sequences, chunk: chunk, depth: .most))
      }
      if box.sequences.count == 1 && box.chunks.count == 1 { continue }
      if prunes(unified: rough, sizes[box.sequences.upperBound], chunks[box.chunks.upperBound]) {
        continue
      }
      // The side that spans more octaves is cut.
      let spans = (
        Double(sizes[box.sequences.upperBound]) / Double(sequences),
        Double(chunks[box.chunks.upperBound]) / Double(chunk)
      )
      if box.chunks.count == 1 || box.sequences.count > 1 && spans.0 >= spans.1 {
        for half in PoolExplorer.halves(of: box.sequences) { boxes.append((half, box.chunks)) }
      } else {
        for half in PoolExplorer.halves(of: box.chunks) { boxes.append((box.sequences, half)) }
      }
    }
  }

  private func isOpen(unified point: PoolPoint) -> Bool {
    if point.requestRate <= 0 { return false }
    if isBeaten(cost: point.timePerToken, gain: point.gain(problem)) { return false }
    if isEarly(point) { return true }
    if point.timeToFirstToken > problem.timeToFirstToken { return false }
    return isOpen(point)
  }

  private mutating func take(unified point: PoolPoint, _ most: PoolPoint?) {
    if point.requestRate <= 0 { return }
    let limit = problem.timeToFirstToken
    note(point, most)
    if point.timeToFirstToken > limit { return }
    take(point, most.flatMap { $0.requestRate > 0 && $0.timeToFirstToken <= limit ? $0 : nil })
  }

  /// Whether nothing in a box above a point can be of use: by its time for a token, by the prompts
  /// that it must but cannot read, by the time to the first token.
  private func prunes(unified point: PoolPoint, _ sequences: Int, _ chunk: Int) -> Bool {
    let gained = evaluator.gained(point.shape)
    let steps = (problem.tokensRead / Double(chunk)).rounded(.up)
    let least = Double(point.sequences) * gained / Double(problem.outputLength) * steps
    if least > problem.mostUtilization { return true }
    if steps * point.promptStep * (1 - Self.rounding) > max(problem.timeToFirstToken, earliest) {
      return true
    }
    // The fewest sequences with the largest chunks have the fewest steps that carry any.
    let plain =
      evaluator.decodePoint(point.shape, sequences: point.sequences, depth: .rough)?.step
      ?? point.step
    var idle = 1.0
    for _ in 0..<point.shape.mesh.dp { idle *= 1 - min(least, 1) }
    let step = (1 - Self.rounding) * (plain * idle + max(plain, point.promptStep) * (1 - idle))
    let rate =
      Double(point.shape.mesh.dp * sequences) * gained / Double(problem.outputLength) / step
    let gain = rate * problem.yield(of: point.shape)
    let earliest = steps * point.promptStep * (1 - Self.rounding)
    let cost = problem.cost(ofUnified: step / gained, earliest)
    if prunes(cost: cost, gain: gain, limit: costLimit) { return true }
    if isBeaten(cost: step / gained, gain: gain) { return true }
    if !rivals.dominates(cost: step / gained, gain: gain) { return false }
    let best = front.entries.last { $0.cost <= costLimit }?.gain ?? 0
    return cost > costLimit || gain <= best
  }

  private var costLimit: Double { problem.limit(of: .unified) }

  /// Both halves of a range, the lower one last, so that it is taken first.
  private static func halves(of range: ClosedRange<Int>) -> [ClosedRange<Int>] {
    let middle = (range.lowerBound + range.upperBound) / 2
    return [(middle + 1)...range.upperBound, range.lowerBound...middle]
  }
}
