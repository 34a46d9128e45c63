internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

/// The best points of pools of one role and, but for unified ones, one number of devices.
///
/// Branch and bound over boxes of sizes: a step does not get shorter with more sequences or tokens
/// (`monotony` allows for what blended tables lack of that), so the smallest sizes of a box bound the
/// time of all in it and the largest ones what they deliver. A box goes when a point that is already
/// there is as good as its bound in both respects.
struct PoolExplorer {
  let evaluator: PoolEvaluator
  private(set) var front = Front()
  /// The point with the earliest first token, whatever the limit.
  private(set) var earliest: PoolPoint?
  /// Points worked out.
  private(set) var evaluations = 0
  /// Whether boxes go by their bounds; if not, every point is worked out.
  let isPruned: Bool
  /// What separate pools do, by seconds between tokens and requests a second of the whole cluster.
  /// What a unified pool does less well is of interest only as long as it may be the best one.
  var rivals = Front()

  /// The share of a smaller step's time that a larger one takes at least.
  static let monotony = 0.9

  private var problem: SearchProblem { evaluator.problem }

  init(_ evaluator: PoolEvaluator, isPruned: Bool) {
    self.evaluator = evaluator
    self.isPruned = isPruned
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
    if !isPruned { return false }
    // Twice the limit is as far as tables of trade-offs reach.
    if cost > 2 * limit && !front.entries.isEmpty { return true }
    return front.dominates(cost: cost, gain: gain)
  }

  /// The last index of ascending sizes that fit, found by halving; nil where none does.
  private func last(_ count: Int, _ fits: (Int) -> Bool) -> Int? {
    if count == 0 || !fits(0) { return nil }
    var (low, high) = (0, count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if fits(middle) { low = middle } else { high = middle - 1 }
    }
    return low
  }

  private mutating func exploreDecode(_ shape: PoolShape) {
    let sizes = problem.space.sequences
    let most = last(sizes.count) { index in
      evaluator.fits(shape, sequences: sizes[index], promptTokens: 0)
    }
    guard let most else { return }
    var boxes = [0...most]
    while let box = boxes.popLast() {
      evaluations += 1
      // Kernels that hold no more rows hold no more of any larger size.
      guard let point = evaluator.decodePoint(shape, sequences: sizes[box.lowerBound]) else {
        continue
      }
      front.insert(point, cost: point.timePerToken, gain: point.requestRate)
      if box.count == 1 { continue }
      let largest = Double(sizes[box.upperBound]) / Double(sizes[box.lowerBound])
      let gain = point.requestRate * largest / Self.monotony
      if prunes(
        cost: point.timePerToken * Self.monotony, gain: gain, limit: problem.timePerToken)
      {
        continue
      }
      boxes += PoolExplorer.halves(of: box)
    }
  }

  private mutating func explorePrefill(_ shape: PoolShape) {
    let sizes = problem.space.prefillTokens
    let most = last(sizes.count) { index in
      evaluator.fits(shape, sequences: 0, promptTokens: sizes[index])
    }
    guard let most else { return }
    var boxes = [0...most]
    while let box = boxes.popLast() {
      evaluations += 1
      guard let point = evaluator.prefillPoint(shape, tokens: sizes[box.lowerBound]) else {
        continue
      }
      add(prefill: point)
      if box.count == 1 { continue }
      let largest = Double(sizes[box.upperBound])
      let steps = (problem.tokensRead / largest).rounded(.up) + 0.5
      let gain =
        point.requestRate * largest / Double(sizes[box.lowerBound]) / Self.monotony
      if prunes(
        cost: steps * point.step * Self.monotony, gain: gain, limit: problem.timeToFirstToken)
      {
        continue
      }
      boxes += PoolExplorer.halves(of: box)
    }
  }

  private mutating func add(prefill point: PoolPoint) {
    note(point)
    front.insert(point, cost: point.timeToFirstToken, gain: point.requestRate)
  }

  private mutating func note(_ point: PoolPoint) {
    if earliest.map({ point.timeToFirstToken < $0.timeToFirstToken }) ?? true { earliest = point }
  }

  private mutating func exploreUnified(_ shape: PoolShape) {
    let (sizes, chunks) = (problem.space.sequences, problem.space.chunks)
    let yield = yield(of: shape)
    let most = last(sizes.count) { index in
      evaluator.fits(shape, sequences: sizes[index], promptTokens: chunks[0])
    }
    guard let most, !chunks.isEmpty else { return }
    var boxes = [(sequences: 0...most, chunks: 0...(chunks.count - 1))]
    while let box = boxes.popLast() {
      let (sequences, chunk) = (sizes[box.sequences.lowerBound], chunks[box.chunks.lowerBound])
      if !evaluator.fits(shape, sequences: sequences, promptTokens: chunk) { continue }
      evaluations += 1
      guard let point = evaluator.unifiedPoint(shape, sequences: sequences, chunk: chunk) else {
        continue
      }
      if point.requestRate > 0 {
        note(point)
        if point.timeToFirstToken <= problem.timeToFirstToken {
          let cost = cost(ofUnified: point.timePerToken, point.timeToFirstToken)
          front.insert(point, cost: cost, gain: point.requestRate * yield)
        }
      }
      if box.sequences.count == 1 && box.chunks.count == 1 { continue }
      if prunes(unified: point, sizes[box.sequences.upperBound], chunks[box.chunks.upperBound]) {
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

  /// Whether nothing in a box above a point can be of use: by its time for a token, by the prompts
  /// that it must but cannot read, by the time to the first token.
  private func prunes(unified point: PoolPoint, _ sequences: Int, _ chunk: Int) -> Bool {
    if !isPruned { return false }
    let gained = evaluator.gained(point.shape)
    let steps = (problem.tokensRead / Double(chunk)).rounded(.up)
    let least = Double(point.sequences) * gained / Double(problem.outputLength) * steps
    if least > problem.mostUtilization { return true }
    if steps * point.promptStep * Self.monotony > problem.timeToFirstToken { return true }
    // The fewest sequences with the largest chunks have the fewest steps that carry any.
    let plain = evaluator.decodePoint(point.shape, sequences: point.sequences)?.step ?? point.step
    var idle = 1.0
    for _ in 0..<point.shape.mesh.dp { idle *= 1 - min(least, 1) }
    let step = Self.monotony * (plain * idle + max(plain, point.promptStep) * (1 - idle))
    let rate =
      Double(point.shape.mesh.dp * sequences) * gained / Double(problem.outputLength) / step
    let gain = rate * yield(of: point.shape)
    let earliest = steps * point.promptStep * Self.monotony
    let cost = cost(ofUnified: step / gained, earliest)
    if prunes(cost: cost, gain: gain, limit: costLimit) { return true }
    if !rivals.dominates(cost: step / gained, gain: gain) { return false }
    let best = front.entries.last { $0.cost <= costLimit }?.gain ?? 0
    return cost > costLimit || gain <= best
  }

  /// What a request a second of one instance is worth: unified pools stand alone, so those of all sizes
  /// compete, by tokens a second and device of the cluster, or of those in use.
  private func yield(of shape: PoolShape) -> Double {
    let devices = problem.cluster.devices
    let instances = devices / shape.mesh.ranks
    let counted = problem.objective == .cost ? instances * shape.mesh.ranks : devices
    return Double(instances * problem.outputLength) / Double(max(counted, 1))
  }

  /// What unified pools are compared by, beside what they deliver: the time of a token, or that of
  /// a whole answer if that is sought.
  private func cost(ofUnified timePerToken: Double, _ timeToFirstToken: Double) -> Double {
    problem.objective == .latency
      ? timeToFirstToken + timePerToken * Double(problem.outputLength - 1) : timePerToken
  }

  private var costLimit: Double {
    cost(ofUnified: problem.timePerToken, problem.timeToFirstToken)
  }

  /// Both halves of a range, the lower one last, so that it is taken first.
  private static func halves(of range: ClosedRange<Int>) -> [ClosedRange<Int>] {
    let middle = (range.lowerBound + range.upperBound) / 2
    return [(middle + 1)...range.upperBound, range.lowerBound...middle]
  }
}
