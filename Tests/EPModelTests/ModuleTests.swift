import Testing

@testable import EPModel

@Suite struct ModuleTests {
  /// The program of a model with one layer.
  private func program(
    vocabulary: Int = 32, hidden: Int = 16, head: String = "lm_head",
    @ModuleBuilder _ layer: @escaping () -> [any Module]
  ) -> ModelProgram {
    let traced = Model("test", vocabulary: vocabulary, hidden: hidden, head: head) {
      Embedding()
      Layers(0..<1) { layer() }
      RMSNorm()
      LanguageModelHead()
    }.traced()
    #expect(traced.diagnostics.isEmpty, "\(traced.diagnostics)")
    return traced.program
  }

  private func weights(_ program: ModelProgram) -> [String: WeightDeclaration] {
    Dictionary(
      program.functions.flatMap(\.weights).map { ($0.name, $0) }, uniquingKeysWith: { a, _ in a })
  }

  @Test func headStandsUnderItsName() {
    let names = weights(program(head: "language_model.lm_head") { RMSNorm().named("norm") }).keys
    #expect(names.contains("language_model.lm_head.weight"))
  }

  @Test func layerNormMayHaveNoBias() {
    let names = weights(program { LayerNorm(bias: false).named("norm") }).keys
    #expect(names.contains("model.layers.{layer}.norm.weight"))
    #expect(!names.contains("model.layers.{layer}.norm.bias"))
  }

  @Test func fusedProjectionsAreRowsOfOneTensor() {
    let attention = MultiHeadAttention(
      heads: 4, keyValueHeads: 2, headSize: 8, valueSize: 6, rope: nil, bias: .queryKeyValue,
      storage: .fused("query_key_value"))
    let all = weights(program { attention.named("attention") })
    func rows(_ name: String) -> StoredTensor.Rows? {
      all["model.layers.{layer}.attention.\(name)"]?.stored.first?.rows
    }
    #expect(rows("q_proj.weight") == .range(start: 0, count: 32, total: 60))
    #expect(rows("k_proj.weight") == .range(start: 32, count: 16, total: 60))
    #expect(rows("v_proj.bias") == .range(start: 48, count: 12, total: 60))
    #expect(
      all["model.layers.{layer}.attention.v_proj.bias"]?.stored.first?.name
        == "model.layers.{layer}.attention.query_key_value.bias")
  }

  @Test func clippingComesAfterTheNormAndBeforeTheRotation() {
    let program = program {
      MultiHeadAttention(
        heads: 2, headSize: 8, rope: RotaryEmbedding(theta: 10_000), norm: .full, clip: 8)
    }
    let kinds = program.functions[1].operations.map(\.kind)
    #expect(
      kinds == [
        .linear, .linear, .linear, .unary, .norm, .norm, .unary, .unary, .rope, .rope, .attention,
        .linear,
      ])
  }

  @Test func shortcutBlockAddsTheMixtureLast() {
    let program = program {
      ShortcutBlock {
        MultiHeadAttention(heads: 2, headSize: 8, rope: nil)
      } feedForward: {
        SwiGLU(8)
      } mixture: {
        MixtureOfExperts {
          Router(.softmax, topK: 2)
          RoutedExperts(4, identity: 2) { SwiGLU(4) }
        }
      }
    }
    let body = program.functions[1]
    #expect(body.caches.map(\.name) == ["self_attn.0.kv", "self_attn.1.kv"])
    guard let combine = body.operations.first(where: { $0.kind == .combine }),
      let last = body.operations.last
    else { return #expect(Bool(false), "no combine") }
    #expect(last.operand("b") == .value(combine.results[0]))
    let names = body.weights.map(\.name)
    #expect(names.contains("model.layers.{layer}.mlps.1.down_proj.weight"))
    #expect(names.contains("model.layers.{layer}.post_attention_layernorm.1.weight"))
  }

  @Test func mamba2IsLinearAttentionWithRowsOfOneProjection() {
    let program = program {
      Mamba2(heads: 8, headSize: 4, groups: 2, stateSize: 6, stepLimit: 0...8).named("mixer")
    }
    let body = program.functions[1]
    guard let scan = body.operations.first(where: { $0.kind == .linearAttention }) else {
      return #expect(Bool(false), "no linear attention")
    }
    #expect(scan.attributes.text("rule") == "sum" && scan.attributes.real("scale") == 1)
    // 32 rows each for gate and input, 12 each for B and C, 8 for the step sizes.
    let rows = body.weights.compactMap { weight -> StoredTensor.Rows? in
      weight.name.contains("in_proj") ? weight.stored[0].rows : nil
    }
    #expect(
      rows == [
        .range(start: 0, count: 32, total: 96), .range(start: 32, count: 32, total: 96),
        .range(start: 64, count: 12, total: 96), .range(start: 76, count: 12, total: 96),
        .range(start: 88, count: 8, total: 96),
      ])
    #expect(body.caches.map(\.kind) == [.convolution, .convolution, .convolution, .recurrent])
    #expect(program.parameterCount.total == 2 * 32 * 16 + 16 + 96 * 16 + 56 * 5 + 3 * 8 + 32 * 17)
  }

  @Test func expertsWithoutAGateMayComeInOneTensor() {
    let all = weights(
      program {
        MixtureOfExperts {
          Router(.sigmoid, topK: 1)
          RoutedExperts(4) { FeedForward(8, activation: "relu2") }
        }.named("mixer")
      })
    #expect(
      all["model.layers.{layer}.mixer.experts.{expert}.up_proj.weight"]?.stored.map(\.name) == [
        "model.layers.{layer}.mixer.experts.{expert}.up_proj.weight",
        "model.layers.{layer}.mixer.experts.up_proj",
      ])
  }
}
