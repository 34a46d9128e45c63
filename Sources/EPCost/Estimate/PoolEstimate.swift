public import EPPlan

/// What a pool delivers: the time of a step, and what follows from it.
public struct PoolEstimate: Sendable {
  /// What the pool does.
  public var role: Pool.Role
  /// The overlap that was taken: none, or a number of micro-batches.
  public var overlap: OverlapChoice
  /// Multiprocessors that exchanges take from compute, where they take any.
  public var multiprocessors: Int?
  /// Seconds from one step to the next.
  public var step: Figure
  /// Seconds of communication that no computation hides, of one step.
  public var exposedCommunication: Double
  /// Tokens that a step delivers for each device: prompts' tokens read, or tokens made.
  public var tokensPerDevice: Double
  /// Tokens that one sequence gains in a step; more than one with MTP.
  public var tokensPerSequence: Double
  /// Steps until a prompt of the average length is read; 0 where none are read.
  public var stepsOfPrompt: Int
  /// Mean over maximum of the tokens that expert ranks take, over all layers; 1 without experts.
  public var balancedness: Double
  /// What the fullest rank holds, in bytes.
  public var memory: MemoryTable
  /// The operations.
  public var operations: StepEstimate
  /// Dollars of a device and hour, if known.
  public var dollarsPerHour: Double?

  /// Tokens a second and device.
  public var throughput: Figure {
    Figure.rate(of: tokensPerDevice, every: step)
  }

  /// Dollars for a million tokens, if the device's price is known.
  public var dollarsPerMillionTokens: Double? {
    dollarsPerHour.map { $0 / 3600 / throughput.value * 1e6 }
  }
}

extension Figure {
  /// How many a second, when there are `count` in each of these seconds.
  static func rate(of count: Double, every seconds: Figure) -> Figure {
    var rate = Figure(
      count / max(seconds.value, 1e-12), unit: .perSecond, provenance: seconds.provenance,
      source: seconds.source)
    rate.lower = count / max(seconds.upper, 1e-12)
    rate.upper = count / max(seconds.lower, 1e-12)
    return rate
  }
}
