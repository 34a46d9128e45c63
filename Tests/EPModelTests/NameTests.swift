import EPModel
import Testing

@Suite struct NameTests {
  @Test func namesComeAboutByNesting() {
    let model = smallModel {
      Layers(0..<2) {
        Block {
          smallAttention()
        } feedForward: {
          MixtureOfExperts {
            Router(.sigmoid, topK: 2, bias: true, correctionBias: true)
            SharedExperts(1, gated: true) { SwiGLU(32) }
            RoutedExperts(4, latent: 16, latentNorm: true) { SwiGLU(8) }
          }
        }
      }
      MultiTokenPrediction { SwiGLU(32).named("mlp") }
    }
    let layer = "model.layers.{layer}."
    #expect(
      model.weightNames == [
        "model.embed_tokens.weight",
        layer + "input_layernorm.weight",
        layer + "self_attn.q_proj.weight", layer + "self_attn.k_proj.weight",
        layer + "self_attn.v_proj.weight", layer + "self_attn.o_proj.weight",
        layer + "post_attention_layernorm.weight",
        layer + "mlp.gate.weight", layer + "mlp.gate.bias",
        layer + "mlp.gate.e_score_correction_bias",
        layer + "mlp.latent_in.weight",
        layer + "mlp.experts.{expert}.gate_proj.weight",
        layer + "mlp.experts.{expert}.up_proj.weight",
        layer + "mlp.experts.{expert}.down_proj.weight",
        layer + "mlp.latent_norm.weight", layer + "mlp.latent_out.weight",
        layer + "mlp.shared_experts.gate_proj.weight",
        layer + "mlp.shared_experts.up_proj.weight",
        layer + "mlp.shared_experts.down_proj.weight",
        layer + "mlp.shared_expert_gate.weight",
        "model.norm.weight", "lm_head.weight",
        layer + "enorm.weight", layer + "hnorm.weight", layer + "eh_proj.weight",
        layer + "mlp.gate_proj.weight", layer + "mlp.up_proj.weight",
        layer + "mlp.down_proj.weight", layer + "shared_head.norm.weight",
      ])
  }

  @Test func renamingsReplaceWholeComponents() {
    let model = smallModel {
      Layers(0..<1) {
        SwiGLU(32).renaming(["gate": "router", "up_proj": "w3", "proj": "p"]).named("mlp")
      }
    }
    #expect(
      model.weightNames[1...3]
        == [
          "model.layers.{layer}.mlp.gate_proj.weight", "model.layers.{layer}.mlp.w3.weight",
          "model.layers.{layer}.mlp.down_proj.weight",
        ])
  }

  @Test func renamingsReplaceSeveralComponentsAndDropThem() {
    let model = smallModel {
      Layers(0..<1) {
        FeedForward(32, activation: "relu")
          .renaming(["mlp.up_proj.weight": "mlp.first", "mlp": ""])
          .named("mlp")
      }
    }
    #expect(
      model.weightNames[1...2]
        == ["model.layers.{layer}.first", "model.layers.{layer}.down_proj.weight"])
  }

  @Test func innerRenamingsComeFirst() {
    let model = smallModel {
      Layers(0..<1) {
        FeedForward(32, activation: "relu").renaming(["up_proj": "a"]).renaming(["a": "b"])
      }
    }
    #expect(model.weightNames[1] == "model.layers.{layer}.b.weight")
  }

  @Test func storedTensorsAreRenamedToo() throws {
    let model = smallModel {
      Layers(0..<1) {
        MixtureOfExperts {
          Router(.softmax, topK: 1)
          RoutedExperts(4) { SwiGLU(32) }
        }
        .named("mlp").renaming(["mlp": "moe"])
      }
    }
    let weights = model.traced().program.functions[1].weights
    let gate = try #require(weights.first { $0.name.hasSuffix("gate_proj.weight") })
    #expect(
      gate.stored == [
        StoredTensor("model.layers.{layer}.moe.experts.{expert}.gate_proj.weight"),
        StoredTensor(
          "model.layers.{layer}.moe.experts.gate_up_proj",
          rows: .range(start: 0, count: 32, total: 64)),
      ])
    #expect(gate.role == .expert)
  }

  @Test func wrappedModulesOutsideLayersKeepTheirPlace() {
    let model = Model("wrapped", vocabulary: 32, hidden: 64, prefix: "decoder") {
      Embedding().renaming(["embed_tokens": "wte"])
      Layers(0..<1) { SwiGLU(32) }
      RMSNorm().renaming(["norm": "ln_f"])
      LanguageModelHead().renaming(["lm_head": "output"])
      MultiTokenPrediction { SwiGLU(32) }
    }
    let traced = model.traced()
    #expect(traced.diagnostics.isEmpty)
    #expect(model.weightNames.first == "decoder.wte.weight")
    #expect(model.weightNames.contains("decoder.ln_f.weight"))
    #expect(model.weightNames.contains("output.weight"))
    #expect(traced.program.functions[2].results.map(\.name) == ["logits", "hidden"])
  }

  @Test func emptyNamesAddNoLevel() {
    let model = smallModel { Layers(0..<1) { SwiGLU(32).named("") } }
    #expect(model.weightNames[1] == "model.layers.{layer}.gate_proj.weight")
  }

  @Test func bothLevelsOfATreeHaveWeightsOfTheirOwn() {
    let model = smallModel {
      Layers(0..<1) {
        MixtureOfExperts {
          HierarchicalRouter(
            groups: 4, outer: Router(.softmax, topK: 2, correctionBias: true),
            inner: Router(.sigmoid, topK: 3, bias: true, correctionBias: true))
          RoutedExperts(16) { SwiGLU(8) }
        }
      }
    }
    let traced = model.traced()
    #expect(traced.diagnostics.isEmpty)
    #expect(
      model.weightNames.filter { $0.contains("gate.") }
        == [
          "group_gate.weight", "group_gate.e_score_correction_bias", "gate.weight", "gate.bias",
          "gate.e_score_correction_bias",
        ].map { "model.layers.{layer}." + $0 })
    let dispatch = traced.program.functions[1].operations.first { $0.kind == .dispatch }
    #expect(dispatch?.attributes.int("experts") == 16)
    #expect(traced.program.functions[1].activeExpertShare == (6, 16))
  }
}
