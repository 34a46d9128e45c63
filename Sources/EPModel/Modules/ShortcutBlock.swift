/// A decoder layer of two attentions and two dense feed-forwards, with a mixture of experts beside
/// them (ScMoE, LongCat-Flash section 2.2): the mixture reads what the first feed-forward reads,
/// and its output is added after the second, so that its communication can run meanwhile.
///
/// Weights stand under `input_layernorm`, `self_attn`, `post_attention_layernorm` and `mlps`, each
/// with `.0` and `.1`, and under `mlp` for the mixture, unless that names itself.
public struct ShortcutBlock: Module {
  var attention: [any Module]
  var feedForward: [any Module]
  var mixture: [any Module]
  var norm: any Module
  /// Where it stands.
  public var location: SourceLocation?

  /// Makes a layer; both halves have an attention and a feed-forward of the same kind.
  public init(
    norm: any Module = RMSNorm(),
    file: String = #filePath, line: Int = #line, column: Int = #column,
    @ModuleBuilder attention: () -> [any Module],
    @ModuleBuilder feedForward: () -> [any Module],
    @ModuleBuilder mixture: () -> [any Module]
  ) {
    self.norm = norm
    self.attention = attention()
    self.feedForward = feedForward()
    self.mixture = mixture()
    location = SourceLocation(file, line, column)
  }

  /// The output, of the shape of the input.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    var x = x
    var shortcut: Tensor?
    for half in 0..<2 {
      let attended = attention.reduce(x.through(norm, named: "input_layernorm.\(half)")) {
        $0.through($1, named: "self_attn.\(half)")
      }
      x = x + attended
      let normed = x.through(norm, named: "post_attention_layernorm.\(half)")
      if half == 0 { shortcut = mixture.reduce(normed) { $0.through($1, named: "mlp") } }
      x = x + feedForward.reduce(normed) { $0.through($1, named: "mlps.\(half)") }
    }
    return shortcut.map { x + $0 } ?? x
  }
}
