// Layers that differ: what attention can say, and three ways to lay layers out.

import EPModel

/// The layers that attend to the whole context, as a list.
let global: Set<Int> = [5, 11]

let model = Model("attention-patterns", vocabulary: 512, hidden: 64, precision: .fp32) {
  Embedding(scale: 8)
  // A pattern by the number: three of four layers see a window of 32 tokens.
  Layers(0..<4) { layer in
    Block {
      MultiHeadAttention(
        heads: 4, keyValueHeads: 2, headSize: 16, rope: RotaryEmbedding(theta: 10_000),
        window: layer % 4 == 3 ? nil : 32, sinks: true)
    } feedForward: {
      GeGLU(128, tanh: true)
    }
  }
  // A pattern by a list: layers in it have no rotation (NoPE), the others rotate within chunks.
  Layers(4..<12) { layer in
    Block {
      if global.contains(layer) {
        MultiHeadAttention(heads: 4, keyValueHeads: 1, headSize: 16, rope: nil, gate: .projected)
      } else {
        MultiHeadAttention(
          heads: 4, keyValueHeads: 1, headSize: 16,
          rope: RotaryEmbedding(theta: 500_000, layout: .interleaved), chunk: 64)
      }
    } feedForward: {
      GeGLU(128)
    }
  }
  // Declarations in a loop: each stage rotates more slowly than the one before.
  for stage in 0..<2 {
    Layers((12 + 2 * stage)..<(14 + 2 * stage)) {
      Block {
        MultiHeadAttention(
          heads: 4, headSize: 16,
          rope: RotaryEmbedding(theta: stage == 0 ? 10_000 : 1_000_000, rotated: 8),
          norm: .perHead(), gate: .inQuery, softcap: 50)
      } feedForward: {
        MixtureOfExperts {
          Router(.sigmoid, topK: 2, normalized: true)
          if stage == 1 { SharedExperts(2) { SwiGLU(32) } }
          RoutedExperts(8) { SwiGLU(32) }
        }
      }
    }
  }
  // Linear attention of two kinds, with softmax attention between them.
  Layers(16..<19) { layer in
    Block {
      switch layer {
      case 16:
        GatedDeltaNet(keyHeads: 2, valueHeads: 4, keySize: 16, valueSize: 16).named("linear_attn")
      case 17: MultiHeadAttention(heads: 4, headSize: 16, rope: nil, bias: .queryKeyValue)
      default: KimiDeltaAttention(heads: 4, headSize: 16)
      }
    } feedForward: {
      FeedForward(256, activation: "gelu_tanh", bias: true)
    }
  }
  LayerNorm(epsilon: 1e-5)
  LanguageModelHead(tied: true, softcap: 30)
}
