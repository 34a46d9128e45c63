// A mixture of experts that no one has published: experts in a tree, chosen by modality and by
// probability mass, between mixers written in this file.
//
// - A token first chooses groups of experts. Groups 0 to 5 serve text, groups 4 to 7 images, so two
//   groups serve both.
// - Within each chosen group it takes experts until their scores sum to 0.8, three at most: a token
//   that is easy to place uses fewer experts.
// - Most layers mix tokens by a gated convolution, every fourth by attention.
//
// Nothing here needs a change of the compiler: `GatedConvolution` and `SquaredReLU` are modules made
// of primitive operations, and the plan splits their `intermediate` axes as it does those of the
// library's modules.

import EPModel

let model = Model("two-level-experts", vocabulary: 1_024, hidden: 96, precision: .fp32) {
  Embedding()
  Layers(0..<8) { layer in
    Block {
      if layer % 4 == 3 { attention } else { GatedConvolution(size: 128, taps: 4) }
    } feedForward: {
      mixture
    }
  }
  RMSNorm()
  LanguageModelHead(tied: true)
}

var attention: MultiHeadAttention {
  MultiHeadAttention(
    heads: 6, keyValueHeads: 2, headSize: 16, rope: RotaryEmbedding(theta: 10_000),
    norm: .perHead())
}

var mixture: MixtureOfExperts {
  MixtureOfExperts {
    HierarchicalRouter(
      groups: 8,
      outer: Router(
        .softmax, topK: 2, normalized: true, modalities: [.init(0..<6), .init(4..<8)],
        balanceLoss: 0.01),
      inner: Router(.softmax, .topP(0.8, atMost: 3), normalized: true))
    SharedExperts(1) { SquaredReLU(size: 64) }
    RoutedExperts(64) { SquaredReLU(size: 48) }
  }
}

/// A mixer without attention: what a token passes on is gated, convolved with what the tokens just
/// before it passed on, and gated again.
struct GatedConvolution: Module {
  var size: Int
  var taps: Int

  func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    let channels = x.trace.intermediate(size)
    let kept =
      x.linear("value_proj", to: [channels]) * x.linear("in_gate", to: [channels]).sigmoid()
    let kernel = x.trace.weight("conv.weight", [channels, Axis("taps", taps)])
    let mixed = kept.shortConvolution(kernel, activation: "identity")
    return (mixed * x.linear("out_gate", to: [channels]).sigmoid())
      .linear("out_proj", to: [width])
  }
}

/// A feed-forward without a gate, sparse by its activation.
struct SquaredReLU: Module {
  var size: Int

  func callAsFunction(_ x: Tensor) -> Tensor {
    guard let width = x.axes.last else { return x }
    return x.linear("up_proj", to: [x.trace.intermediate(size)])
      .applying("relu2")
      .linear("down_proj", to: [width])
  }
}
