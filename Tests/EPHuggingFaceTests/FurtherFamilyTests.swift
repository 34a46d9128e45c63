import EPJSON
import EPModel
import Testing

/// Families beside those of the reference checkpoints; tiny random models of transformers with these configs
/// give its logits.
@Suite struct FurtherFamilyTests {
  @Test func qwen3VLHasFusedExpertsBelowItsWrapper() throws {
    let program = try program(fixture("qwen3_vl_moe"))
    let layer = "model.language_model.layers.{layer}"
    let names = try program.stored(in: 1)
    #expect(names.contains("\(layer).mlp.experts.gate_up_proj"))
    #expect(names.contains("\(layer).self_attn.q_norm.weight"))
    let down = try program.layer(1).weights.first { $0.name.hasSuffix("{expert}.down_proj.weight") }
    #expect(down?.stored.first?.transposed == true)
    #expect(try program.attributes(.route, in: 1).flag("normalize"))
    #expect(try !program.layer(0).operations.contains { $0.kind == .route })
    #expect(program.ignoredTensors.contains("model.visual.*"))
    guard case .object(let object) = try fixture("qwen3_vl_moe"),
      let text = object["text_config"]
    else { return }
    let uneven = try fixture("qwen3_vl_moe")
      .with(["text_config": text.with(["norm_topk_prob": false])])
    #expect(
      refusal(uneven)
        == "qwen3_vl_moe: 'text_config.norm_topk_prob' = false is ignored by transformers")
  }

  @Test func graniteMaySharePartOfItsFeedForward() throws {
    let program = try program(fixture("granitemoeshared"))
    let names = try program.stored(in: 0)
    #expect(names.contains("model.layers.{layer}.shared_mlp.input_linear.weight"))
    #expect(names.contains("model.layers.{layer}.block_sparse_moe.input_linear.weight"))
    #expect(names.contains("model.layers.{layer}.block_sparse_moe.router.layer.weight"))
    let glus = try program.layer(0).operations.filter { $0.kind == .glu }
    #expect(glus.count == 2)
  }

  @Test func granite4HasStateSpaces() throws {
    let config = try fixture("granitemoehybrid")
    let program = try program(config)
    #expect(try program.stored(in: 0).contains("model.layers.{layer}.mamba.in_proj.weight"))
    #expect(try program.layer(0).operations.contains { $0.kind == .linearAttention })
    #expect(try program.layer(1).operations.contains { $0.kind == .attention })
    // Attention has no positions unless the config asks for them.
    #expect(try !program.layer(1).operations.contains { $0.kind == .rope })
    let turned = try EPHuggingFaceTests.program(config.with(["position_embedding_type": "rope"]))
    #expect(try turned.attributes(.rope, in: 1).real("theta") == 100)
    #expect(
      refusal(config.with(["mamba_n_groups": 2])).hasPrefix(
        "granitemoehybrid: 'mamba_n_groups' = 2 is not 1"))
  }

  @Test func solarOpenTurnsWholeHeads() throws {
    let program = try program(fixture("solar_open"))
    #expect(try program.attributes(.rope, in: 0).int("rotated") == 8)
    #expect(try program.attributes(.route, in: 0).text("scoring") == "sigmoid")
    let names = try program.stored(in: 0)
    #expect(names.contains("model.layers.{layer}.self_attn.q_proj.bias"))
    #expect(!names.contains("model.layers.{layer}.self_attn.o_proj.bias"))
    #expect(
      refusal(try fixture("solar_open").with(["use_qk_norm": true]))
        == "solar_open: 'use_qk_norm' = true is ignored by transformers, which never normalises")
  }
}
