import EPJSON
import EPModel
import Foundation
import Testing

/// Families with multi-head latent attention.
@Suite struct LatentFamilyTests {
  @Test func deepseekV3() throws {
    let program = try program(fixture("deepseek_v3"))
    let route = try program.attributes(.route, in: 3)
    #expect(route.text("scoring") == "sigmoid" && route.int("top_k") == 8)
    #expect(route.int("groups") == 8 && route.int("groups_kept") == 4)
    #expect(route.text("group_score") == "top2_sum")
    #expect(route.flag("normalize") && route.real("normalize_epsilon") == 1e-20)
    #expect(route.real("scale") == 2.5)
    #expect(try program.operation(.route, in: 3).operand("bias") != nil)
    let rope = try program.attributes(.rope, in: 0)
    #expect(rope.text("layout") == "interleaved" && rope.text("scaling") == "yarn")
    #expect(rope.real("factor") == 40 && rope.int("original_context") == 4096)
    #expect(rope.real("attention_factor") == 1 && rope.flag("truncate"))
    let mscale = 0.1 * log(40.0) + 1
    #expect(
      same(
        try program.attributes(.latentAttention, in: 0).real("scale"),
        mscale * mscale / 192.0.squareRoot()))
    #expect(try program.layer(2).operations.allSatisfy { $0.kind != .route })
    #expect(program.drafts.map(\.layers) == [[61]])
    #expect(
      program.ignoredTensors.contains("model.layers.61.embed_tokens.weight")
        && program.ignoredTensors.contains("model.layers.61.shared_head.head.weight"))
    #expect(program.precision == .fp8)
  }

  @Test func latentNormsTakeTheirOwnEpsilon() throws {
    let program = try program(fixture("glm4_moe_lite"))
    #expect(try program.attributes(.norm, in: 0, at: "input_layernorm").real("epsilon") == 1e-5)
    #expect(try program.attributes(.norm, in: 0, at: "kv_a_layernorm").real("epsilon") == 1e-6)
    #expect(try program.attributes(.norm, in: 0, at: "q_a_layernorm").real("epsilon") == 1e-6)
  }

  @Test func yarnFactorsFollowBothScales() throws {
    let scaling: JSONValue = [
      "type": "yarn", "factor": 16.0, "original_max_position_embeddings": 16, "mscale": 0.707,
      "mscale_all_dim": 1.0,
    ]
    func rope(_ scaling: JSONValue) throws -> (Attributes, Double) {
      let program = try program(fixture("deepseek_v3").with(["rope_scaling": scaling]))
      return (
        try program.attributes(.rope, in: 0),
        try program.attributes(.latentAttention, in: 0).real("scale")
      )
    }
    let (ratio, scale) = try rope(scaling)
    let (one, other) = (0.1 * log(16.0) + 1, 0.0707 * log(16.0) + 1)
    #expect(same(ratio.real("attention_factor"), other / one))
    #expect(same(scale, one * one / 192.0.squareRoot()))
    // Without 'mscale_all_dim' the factor is of the paper, and logits keep their scale.
    let (paper, plain) = try rope(scaling.with(["mscale_all_dim": .null]))
    #expect(same(paper.real("attention_factor"), one))
    #expect(same(plain, 1 / 192.0.squareRoot()))
    #expect(try rope(scaling.with(["attention_factor": 1.25])).0.real("attention_factor") == 1.25)
    #expect(paper.real("beta_fast") == 32 && paper.real("beta_slow") == 1)
  }

  @Test func bothStylesOfRopeAreOne() throws {
    let hub = try fixture("deepseek_v3")
    guard case .object(let object) = hub, let scaling = object["rope_scaling"] else { return }
    let newer = hub.with([
      "rope_scaling": .null, "rope_theta": .null,
      "rope_parameters": scaling.with(["rope_theta": 10000.0, "rope_type": "yarn"]),
    ])
    #expect(try program(hub) == program(newer))
  }

  @Test func ropeMayTurnHalves() throws {
    let program = try program(fixture("deepseek_v3").with(["rope_interleave": false]))
    #expect(try program.attributes(.rope, in: 0).text("layout") == "half")
  }

  @Test func deepseekV2ScalesWithoutNormalising() throws {
    let program = try program(fixture("deepseek_v2"))
    let route = try program.attributes(.route, in: 1)
    #expect(route.text("scoring") == "softmax" && !route.flag("normalize"))
    #expect(route.real("scale") == 4 && route.text("group_score") == "max")
    #expect(route.int("groups") == 4 && route.int("groups_kept") == 2)
    #expect(try program.operation(.route, in: 1).operand("bias") == nil)
    // Two shared experts stand side by side.
    #expect(
      try program.layer(1).weights.first { $0.name.hasSuffix("shared_experts.gate_proj.weight") }?
        .axes[0].size == 32)
  }

  @Test func greedyV2HasNoGroups() throws {
    let program = try program(fixture("deepseek_v2_lite"))
    #expect(try program.attributes(.route, in: 1)["groups"] == nil)
    #expect(try program.stored(in: 0).contains("model.layers.{layer}.self_attn.q_proj.weight"))
    #expect(try program.attributes(.rope, in: 0).real("attention_factor") == 1)
  }

  @Test func indexersTurnAsTheirFamilyDoes() throws {
    for (name, layout) in [("deepseek_v32", "half"), ("glm_moe_dsa", "interleaved")] {
      let program = try program(fixture(name))
      let index = try program.attributes(.index, in: 0)
      #expect(index.int("top_k") == 2048 && index.real("scale") == 1 / 128.0.squareRoot())
      let rope = try program.attributes(.rope, in: 0, at: "indexer")
      #expect(rope.text("layout") == layout && rope.int("rotated") == 64)
      #expect(try program.attributes(.rope, in: 0, at: "self_attn").text("layout") == "interleaved")
      #expect(try program.operation(.latentAttention, in: 0).operand("selection") != nil)
      #expect(program.drafts.count == 1)
    }
  }

  @Test func kimiK25StandsBelowItsWrapper() throws {
    let program = try program(fixture("kimi_k25"))
    let names = program.functions.flatMap(\.weights).map(\.name)
    #expect(names.contains("language_model.lm_head.weight"))
    #expect(names.contains("language_model.model.embed_tokens.weight"))
    #expect(program.ignoredTensors.contains("vision_tower.*"))
    #expect(program.precision == .int4Experts)
    #expect(try EPHuggingFaceTests.program(fixture("kimi_k25_nvfp4")).precision.experts == .nvfp4)
    // Kimi K2 has one group, which is no limit.
    #expect(try program.attributes(.route, in: 1)["groups"] == nil)
    #expect(try program.attributes(.route, in: 1).real("scale") == 2.827)
  }

  @Test func kimiLinearHasNoPositions() throws {
    let program = try program(fixture("kimi_linear"))
    #expect(program.functions.allSatisfy { $0.operations.allSatisfy { $0.kind != .rope } })
    #expect(try program.attributes(.linearAttention, in: 0).text("rule") == "delta")
    #expect(try program.layer(2).operations.contains { $0.kind == .latentAttention })
    let names = try program.stored(in: 1)
    #expect(names.contains("model.layers.{layer}.block_sparse_moe.experts.{expert}.w1.weight"))
    #expect(names.contains("model.layers.{layer}.block_sparse_moe.shared_experts.up_proj.weight"))
  }

  @Test func olderKimiLinearConfigsNumberLayersFromOne() throws {
    let newer = try fixture("kimi_linear")
    let older = newer.with([
      "layer_types": .null, "mlp_layer_types": .null, "linear_head_dim": .null,
      "linear_num_heads": .null, "linear_conv_kernel_dim": .null, "first_k_dense_replace": 1,
      "mla_use_nope": true, "moe_router_activation_func": "sigmoid", "use_grouped_topk": true,
      "linear_attn_config": [
        "full_attn_layers": [3], "kda_layers": [1, 2, 4], "head_dim": 16, "num_heads": 4,
        "short_conv_kernel_size": 4,
      ],
    ])
    #expect(try program(newer) == program(older))
  }

  @Test func longCatIsAShortcutMixture() throws {
    let program = try program(fixture("longcat_flash"))
    let route = try program.attributes(.route, in: 0)
    #expect(route.int("experts") == 16 && route.int("identity_experts") == 8)
    #expect(route.text("scoring") == "softmax" && route.real("scale") == 2)
    #expect(try program.operation(.route, in: 0).operand("bias") != nil)
    let kinds = try program.layer(0).operations.map(\.kind)
    #expect(kinds.filter { $0 == .latentAttention }.count == 2)
    #expect(kinds.filter { $0 == .glu }.count == 3)
    let factors = try program.layer(0).operations.filter { $0.kind == .affine }
      .map { $0.attributes.real("factor") }
    #expect(
      factors.contains((64.0 / 24).squareRoot()) && factors.contains((64.0 / 16).squareRoot()))
    #expect(
      try program.stored(in: 0).contains("model.layers.{layer}.mlp.router.classifier.weight"))
  }
}
