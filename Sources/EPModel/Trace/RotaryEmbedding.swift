/// Rotary position embedding, with the frequency scalings that published models use.
public struct RotaryEmbedding: Hashable, Sendable {
  /// Which two elements turn together.
  public enum Layout: String, Hashable, Sendable {
    /// Element `i` and element `i + n/2`.
    case half
    /// Elements `2i` and `2i + 1`.
    case interleaved
  }

  /// How frequencies change for contexts longer than those trained on.
  public enum Scaling: Hashable, Sendable {
    /// Not at all.
    case none
    /// Positions divided by a factor.
    case linear(factor: Double)
    /// YaRN (Peng et al. 2023): frequencies interpolate between two turns per original context.
    /// `attentionFactor` multiplies sine and cosine.
    case yarn(
      factor: Double, originalContext: Int, betaFast: Double, betaSlow: Double, truncate: Bool,
      attentionFactor: Double)
    /// Llama 3.1's piecewise interpolation.
    case llama3(
      factor: Double, originalContext: Int, lowFrequencyFactor: Double,
      highFrequencyFactor: Double)
  }

  /// The base of the frequencies.
  public var theta: Double
  /// How many leading elements turn, or nil for all.
  public var rotated: Int?
  /// Which two elements turn together.
  public var layout: Layout
  /// How frequencies change.
  public var scaling: Scaling

  /// Makes a rotary embedding.
  public init(
    theta: Double, rotated: Int? = nil, layout: Layout = .half, scaling: Scaling = .none
  ) {
    self.theta = theta
    self.rotated = rotated
    self.layout = layout
    self.scaling = scaling
  }

  /// YaRN's temperature `0.1 * mscale * ln(factor) + 1`, which is 1 up to factor 1.
  public static func mscale(factor: Double, _ mscale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * mscale * naturalLogarithm(factor) + 1
  }

  func attributes(size: Int) -> Attributes {
    var attributes = Attributes([
      "theta": .real(theta), "rotated": .int(rotated ?? size), "layout": .text(layout.rawValue),
    ])
    switch scaling {
    case .none: break
    case .linear(let factor):
      attributes["scaling"] = "linear"
      attributes["factor"] = .real(factor)
    case .yarn(let factor, let context, let fast, let slow, let truncate, let attention):
      attributes["scaling"] = "yarn"
      attributes["factor"] = .real(factor)
      attributes["original_context"] = .int(context)
      attributes["beta_fast"] = .real(fast)
      attributes["beta_slow"] = .real(slow)
      attributes["truncate"] = .flag(truncate)
      attributes["attention_factor"] = .real(attention)
    case .llama3(let factor, let context, let low, let high):
      attributes["scaling"] = "llama3"
      attributes["factor"] = .real(factor)
      attributes["original_context"] = .int(context)
      attributes["low_frequency_factor"] = .real(low)
      attributes["high_frequency_factor"] = .real(high)
    }
    return attributes
  }
}
