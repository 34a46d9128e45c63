import EPModel

/// A model of hidden size 64 with an embedding, the given parts and a head.
func smallModel(
  prefix: String = "model", @ModelBuilder _ parts: () -> [Model.Part]
) -> Model {
  let inner = parts()
  return Model("small", vocabulary: 32, hidden: 64, prefix: prefix) {
    Embedding()
    for part in inner { part }
    RMSNorm()
    LanguageModelHead()
  }
}

extension ModelBuilder {
  /// A part made elsewhere.
  static func buildExpression(_ part: Model.Part) -> [Model.Part] { [part] }
}

/// An attention that fits a small model.
func smallAttention() -> MultiHeadAttention {
  MultiHeadAttention(heads: 4, headSize: 16, rope: RotaryEmbedding(theta: 10_000))
}

/// A module made of a closure.
struct Custom: Module {
  var body: (Tensor) -> Tensor
  init(_ body: @escaping (Tensor) -> Tensor) { self.body = body }
  func callAsFunction(_ x: Tensor) -> Tensor { body(x) }
}

extension Model {
  /// The names of all weights, in order of declaration, each once.
  var weightNames: [String] {
    var names: [String] = []
    for function in traced().program.functions {
      for weight in function.weights where !names.contains(weight.name) {
        names.append(weight.name)
      }
    }
    return names
  }
}
