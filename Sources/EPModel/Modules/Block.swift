/// A decoder layer: attention and feed-forward, each with a norm and a residual connection.
public struct Block: Module {
  /// How residual connections run.
  public enum Residual: Hashable, Sendable {
    /// `x + scale * f(norm(x))`.
    case preNorm(scale: Double = 1)
    /// `alpha * y + beta * f(y)` with `y = norm(x)`, as MiniMax-Text-01; one pair for attention,
    /// one for the feed-forward.
    case normalized(
      attentionAlpha: Double, attentionBeta: Double, feedForwardAlpha: Double,
      feedForwardBeta: Double)
  }

  var attention: [any Module]
  var feedForward: [any Module]
  var norm: any Module
  var residual: Residual
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a layer. Weights stand under `input_layernorm`, `self_attn`,
  /// `post_attention_layernorm` and `mlp`, unless modules name themselves.
  public init(
    norm: any Module = RMSNorm(), residual: Residual = .preNorm(),
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder attention: () -> [any Module],
    @ModuleBuilder feedForward: () -> [any Module]
  ) {
    self.norm = norm
    self.residual = residual
    self.attention = attention()
    self.feedForward = feedForward()
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let afterAttention = connected(
      x, attention, named: "self_attn", norm: "input_layernorm", isAttention: true)
    return connected(
      afterAttention, feedForward, named: "mlp", norm: "post_attention_layernorm",
      isAttention: false)
  }

  private func connected(
    _ x: Tensor, _ modules: [any Module], named name: String, norm normName: String,
    isAttention: Bool
  ) -> Tensor {
    if modules.isEmpty { return x }
    let normed = x.through(norm, named: normName)
    let output = modules.reduce(normed) { $0.through($1, named: name) }
    switch residual {
    case .preNorm(let scale): return x + output.affine(factor: scale)
    case .normalized(let alphaA, let betaA, let alphaF, let betaF):
      return normed.affine(factor: isAttention ? alphaA : alphaF)
        + output.affine(factor: isAttention ? betaA : betaF)
    }
  }
}
