// Every kind of gate, one a layer: what `Router` can say, and a router of one's own.

import EPModel

let model = Model("routers", vocabulary: 512, hidden: 64, precision: .fp32) {
  Embedding()
  // Experts by the token's id alone: by a hash, and by a table that the checkpoint holds.
  Layers(0..<1) { layer(Router(.sqrtSoftplus, .hash(2))) }
  Layers(1..<2) { layer(Router(.sqrtSoftplus, .hash(2, table: true), normalized: true)) }
  // GShard: two experts, each with room for a quarter more than its even share, and a balance loss.
  Layers(2..<3) {
    layer(Router(.softmax, topK: 2, normalized: true, capacityFactor: 1.25, balanceLoss: 0.01))
  }
  // DeepSeek-V2: the best groups by their best expert; DeepSeek-V3: by the sum of their two best,
  // with a bias that steers the selection only.
  Layers(3..<4) {
    layer(Router(.softmax, topK: 4, scale: 16, limit: GroupLimit(4, kept: 2, score: .max)))
  }
  Layers(4..<5) {
    layer(
      Router(
        .sigmoid, topK: 4, correctionBias: true, normalized: true, scale: 2.5,
        limit: GroupLimit(4, kept: 2, score: .topTwoSum)))
  }
  // Softmax over the selected experts only, with a bias on the logits.
  Layers(5..<6) { layer(Router(.softmaxOverSelected, topK: 4, bias: true)) }
  // Gumbel noise over a temperature; the seed makes a run repeatable.
  Layers(6..<7) { layer(Router(.gumbelSoftmax(temperature: 0.7, seed: 42), topK: 2)) }
  // As many experts as it takes to reach nine tenths of the scores.
  Layers(7..<8) { layer(Router(.softmax, .topP(0.9, atMost: 6), normalized: true)) }
  // Experts that return their input, and experts that work in a smaller space.
  Layers(8..<9) { layer(Router(.softmax, topK: 4, correctionBias: true), identity: 8) }
  Layers(9..<10) { layer(Router(.sigmoid, topK: 4, normalized: true), latent: 32) }
  Layers(10..<11) { layer(CosineRouter(topK: 2, size: 16, temperature: 0.07)) }
  RMSNorm()
  LanguageModelHead()
}

func layer(_ router: any ExpertRouter, identity: Int = 0, latent: Int? = nil) -> Block {
  Block {
    MultiHeadAttention(heads: 4, headSize: 16, rope: RotaryEmbedding(theta: 10_000))
  } feedForward: {
    MixtureOfExperts {
      router
      RoutedExperts(16, identity: identity, latent: latent, latentNorm: latent != nil) {
        SwiGLU(32)
      }
    }
  }
}

/// Scores experts by the angle between a projection of the token and a direction of each expert
/// (X-MoE, Chi et al. 2022); a router of one's own makes logits and leaves the rest to `Router`.
struct CosineRouter: ExpertRouter {
  var topK: Int
  var size: Int
  var temperature: Double

  func callAsFunction(_ x: Tensor, experts: Int, identity: Int) -> Routes {
    let all = Axis("experts", experts + identity)
    let cosine = x.linear("gate.down", to: [Axis("direction", size)], role: .router)
      .normalized("l2", over: ["direction"], epsilon: 1e-6)
      .linear("gate.directions", to: [all], role: .router)
    return Router(.softmax, topK: topK).routes(
      logits: cosine * (1 / temperature), experts: experts, identity: identity)
  }
}
