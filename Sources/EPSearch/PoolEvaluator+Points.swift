internal import EPCompiler
internal import EPCost
internal import EPIR
internal import EPPlan
internal import Glibc

extension PoolEvaluator {
  /// How far a point is worked out.
  enum Depth {
    /// With what steps and all larger ones take at least: fast, and further off.
    case rough
    /// With what steps take at least: no figure of the point itself is better.
    case bound
    /// With what steps take.
    case exact
    /// With what steps take at most, one operation after the other: no figure of the point itself is
    /// worse.
    case most
  }

  private func seconds(
    _ shape: PoolShape, _ step: StepShape, _ depth: Depth
  ) -> (seconds: Double, overlap: OverlapChoice)? {
    switch depth {
    case .rough: roughSeconds(shape, step).map { ($0, .auto) }
    case .bound: leastSeconds(shape, step).map { ($0, .auto) }
    case .exact: seconds(shape, step)
    case .most: mostSeconds(shape, step).map { ($0, .auto) }
    }
  }

  /// A decode pool's point; nil where kernels do not allow it.
  func decodePoint(
    _ shape: PoolShape, sequences: Int, depth: Depth = .exact
  ) -> PoolPoint? {
    guard let (seconds, overlap) = seconds(shape, decodeStep(shape, sequences), depth) else {
      return nil
    }
    let gained = gained(shape)
    return PoolPoint(
      shape: shape, sequences: sequences, promptTokens: 0, step: seconds, promptStep: 0,
      timePerToken: seconds / gained, timeToFirstToken: 0, readingTime: 0,
      requestRate: Double(shape.mesh.dp * sequences) * gained / seconds
        / Double(problem.outputLength),
      balancedness: balancedness(shape), overlap: overlap)
  }

  /// A prefill pool's point. A prompt waits half a step for the one under way to end.
  func prefillPoint(_ shape: PoolShape, tokens: Int, depth: Depth = .exact) -> PoolPoint? {
    let read = problem.tokensRead
    let step = StepShape(
      prompts: Double(tokens), length: Double(problem.promptLength), read: read)
    guard let (seconds, overlap) = seconds(shape, step, depth) else { return nil }
    let steps = (read / Double(tokens)).rounded(.up) + draining(shape)
    return PoolPoint(
      shape: shape, sequences: 0, promptTokens: tokens, step: seconds, promptStep: seconds,
      timePerToken: 0, timeToFirstToken: (steps + 0.5) * seconds,
      readingTime: (steps + 0.5) * seconds,
      requestRate: Double(shape.mesh.dp * tokens) / (seconds * read),
      balancedness: balancedness(shape), overlap: overlap)
  }

  /// A unified pool's point: each data group decodes `sequences` and reads `chunk` tokens of a
  /// prompt in some of its steps, so many that prompts come as fast as sequences end. All groups
  /// wait for those that read.
  func unifiedPoint(
    _ shape: PoolShape, sequences: Int, chunk: Int, depth: Depth = .exact
  ) -> PoolPoint? {
    guard let plain = seconds(shape, decodeStep(shape, sequences), depth),
      let full = seconds(shape, mixedStep(shape, sequences, chunk), depth)
    else { return nil }
    return unifiedPoint(
      shape, sequences: sequences, chunk: chunk, plain: plain.seconds, full: full.seconds,
      overlap: full.overlap)
  }

  /// A unified pool's point at best, from steps that are asked for once a shape and size: decoding
  /// alone, and one sequence beside the chunk.
  func roughUnifiedPoint(_ shape: PoolShape, sequences: Int, chunk: Int) -> PoolPoint? {
    guard let plain = roughSeconds(shape, decodeStep(shape, sequences)),
      let least = problem.space.sequences.first,
      let alone = roughSeconds(shape, mixedStep(shape, min(least, sequences), chunk))
    else { return nil }
    return unifiedPoint(
      shape, sequences: sequences, chunk: chunk, plain: plain, full: max(plain, alone),
      overlap: .auto)
  }

  /// Steps that the last lot of a prompt passes the later stages of a pipeline for, at most.
  private func draining(_ shape: PoolShape) -> Double {
    let lots = tables.cuts ? shape.mesh.pp : 1
    return Double(shape.mesh.pp - 1) / Double(lots)
  }

  func decodeStep(_ shape: PoolShape, _ sequences: Int) -> StepShape {
    StepShape(
      sequences: Double(sequences), drafts: shape.drafts, context: Double(problem.decodeContext),
      promptTokens: 0, length: 1, read: 1)
  }

  func mixedStep(_ shape: PoolShape, _ sequences: Int, _ chunk: Int) -> StepShape {
    StepShape(
      sequences: Double(sequences), drafts: shape.drafts, context: Double(problem.decodeContext),
      promptTokens: Double(chunk), length: Double(problem.promptLength), read: problem.tokensRead)
  }

  func unifiedPoint(
    _ shape: PoolShape, sequences: Int, chunk: Int, plain: Double, full: Double,
    overlap: OverlapChoice
  ) -> PoolPoint {
    let read = problem.tokensRead
    let gained = gained(shape)
    let ends = Double(sequences) * gained / Double(problem.outputLength)
    // A prompt's last chunk fills its step no more than the others do.
    let busy = ends * (read / Double(chunk)).rounded(.up)
    let carrying = 1 - pow(1 - min(busy, 1), Double(shape.mesh.dp))
    let longer = max(plain, full)
    let step = (1 - carrying) * plain + carrying * longer
    let service = ((read / Double(chunk)).rounded(.up) + draining(shape)) * longer
    let utilization = busy / problem.mostUtilization
    let waits = utilization < 1 ? utilization / (2 * (1 - utilization)) : .infinity
    return PoolPoint(
      shape: shape, sequences: sequences, promptTokens: chunk, step: step, promptStep: longer,
      timePerToken: step / gained, timeToFirstToken: service * (1 + waits) + 0.5 * step,
      readingTime: service + 0.5 * step,
      requestRate: utilization <= 1 ? Double(shape.mesh.dp) * ends / step : 0,
      balancedness: balancedness(shape), overlap: overlap)
  }

  private func balancedness(_ shape: PoolShape) -> Double { tables.balancedness(shape) }
}
