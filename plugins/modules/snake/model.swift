// with: snake.swift
import EPModel

let model = Model("tiny-snake", vocabulary: 512, hidden: 64, precision: .fp32) {
  Embedding()
  Layers(0..<4) { layer in
    Block {
      MultiHeadAttention(
        heads: 8, keyValueHeads: 4, headSize: 16, rope: RotaryEmbedding(theta: 10_000))
    } feedForward: {
      if layer % 2 == 0 {
        SnakeFeedForward(128)
      } else {
        MixtureOfExperts {
          Router(.softmax, topK: 2, normalized: true)
          RoutedExperts(8) { SwiGLU(32) }
        }
      }
    }
  }
  RMSNorm()
  LanguageModelHead()
}
