import EPJSON
import EPModel
import Foundation
import Testing

/// Families whose query heads share key and value heads.
@Suite struct GroupedFamilyTests {
  @Test func mixtral() throws {
    let program = try program(fixture("mixtral"))
    let route = try program.attributes(.route, in: 0)
    #expect(route.text("scoring") == "softmax" && route.flag("normalize"))
    #expect(route.real("normalize_epsilon") == 0 && route.int("top_k") == 2)
    #expect(try program.attributes(.rope, in: 0).text("layout") == "half")
    #expect(try program.attributes(.norm, in: 0).real("epsilon") == 1e-5)
    let names = try program.stored(in: 0)
    #expect(names.contains("model.layers.{layer}.block_sparse_moe.experts.{expert}.w3.weight"))
    #expect(names.contains("model.layers.{layer}.block_sparse_moe.gate.weight"))
    let sliding = try EPHuggingFaceTests.program(fixture("mixtral").with(["sliding_window": 4096]))
    #expect(try sliding.attributes(.attention, in: 0).int("window") == 4096)
  }

  @Test func qwenSharesAGatedExpert() throws {
    let program = try program(fixture("qwen2_moe"))
    let names = try program.stored(in: 0)
    #expect(names.contains("model.layers.{layer}.mlp.shared_expert_gate.weight"))
    #expect(names.contains("model.layers.{layer}.self_attn.q_proj.bias"))
    #expect(!names.contains("model.layers.{layer}.self_attn.o_proj.bias"))
    #expect(try !program.attributes(.route, in: 0).flag("normalize"))
  }

  @Test func qwen3NormalisesEveryHead() throws {
    let program = try program(fixture("qwen3_moe"))
    #expect(try program.attributes(.norm, in: 0, at: "q_norm").texts("axes") == ["head_dim"])
    #expect(try program.attributes(.route, in: 0).flag("normalize"))
    let sparse = try EPHuggingFaceTests.program(
      fixture("qwen3_moe").with(["decoder_sparse_step": 2, "mlp_only_layers": [1]]))
    #expect(try sparse.layer(3).operations.contains { $0.kind == .route })
    #expect(try sparse.layer(1).operations.allSatisfy { $0.kind != .route })
    #expect(try sparse.layer(2).operations.allSatisfy { $0.kind != .route })
  }

  @Test func qwenHybridsStoreNormsLessOne() throws {
    let program = try program(fixture("qwen3_next"))
    #expect(try program.attributes(.norm, in: 0, at: "input_layernorm").real("weight_offset") == 1)
    #expect(try program.attributes(.norm, in: 0, at: "linear_attn.norm")["weight_offset"] == nil)
    #expect(try program.attributes(.norm, in: 3, at: "q_norm").real("weight_offset") == 1)
    #expect(try program.attributes(.rope, in: 3).int("rotated") == 64)
    #expect(try program.attributes(.linearAttention, in: 0).text("rule") == "delta")
    #expect(try program.layer(3).operations.contains { $0.kind == .attention })
    #expect(program.ignoredTensors.contains("mtp.*"))
  }

  @Test func qwen35StandsBelowItsWrapper() throws {
    let program = try program(fixture("qwen3_5_moe"))
    #expect(try program.attributes(.route, in: 0).flag("normalize"))
    let names = program.functions.flatMap(\.weights).map(\.name)
    #expect(names.contains("model.language_model.layers.{layer}.linear_attn.A_log"))
    #expect(names.contains("lm_head.weight"))
    #expect(
      try program.stored(in: 0).contains(
        "model.language_model.layers.{layer}.linear_attn.in_proj_z.weight"))
  }

  @Test func gptOSS() throws {
    let program = try program(fixture("gpt_oss"))
    let route = try program.attributes(.route, in: 0)
    #expect(route.text("scoring") == "softmax_selected" && route.int("top_k") == 4)
    #expect(try program.attributes(.attention, in: 0).int("window") == 128)
    #expect(try program.attributes(.attention, in: 1)["window"] == nil)
    #expect(try program.operation(.attention, in: 1).operand("sinks") != nil)
    let rope = try program.attributes(.rope, in: 0)
    #expect(!rope.flag("truncate") && rope.text("layout") == "half")
    #expect(same(rope.real("attention_factor"), 0.1 * log(32.0) + 1))
    let glu = try program.attributes(.glu, in: 0)
    #expect(glu.real("limit") == 7 && glu.real("slope") == 1.702 && glu.real("up_offset") == 1)
    let up = try #require(
      try program.layer(0).weights.first { $0.name.hasSuffix("{expert}.up_proj.weight") }?.stored
        .first)
    #expect(up.transposed && up.rows == .interleaved(index: 1, stride: 2))
    #expect(try program.stored(in: 0).contains("model.layers.{layer}.mlp.router.bias"))
    #expect(program.precision == .mxfp4Experts)
  }

  @Test func glmRotatesHalfAHead() throws {
    let program = try program(fixture("glm4_moe"))
    let rope = try program.attributes(.rope, in: 0)
    #expect(rope.int("rotated") == 64 && rope.text("layout") == "half")
    let names = try program.stored(in: 0)
    #expect(names.contains("model.layers.{layer}.self_attn.v_proj.bias"))
    #expect(!names.contains("model.layers.{layer}.self_attn.o_proj.bias"))
    #expect(program.drafts.map(\.layers) == [[46]])
    // The part is a half where the config does not say.
    let silent = try EPHuggingFaceTests.program(
      fixture("glm4_moe").with(["partial_rotary_factor": .null]))
    #expect(try silent.attributes(.rope, in: 0).int("rotated") == 64)
  }

  @Test func miniMaxTextAlternates() throws {
    let program = try program(fixture("minimax"))
    #expect(try program.attributes(.linearAttention, in: 0).text("rule") == "sum")
    let norms = try program.layer(0).operations.filter { $0.kind == .norm }
    #expect(norms.map { $0.attributes.real("epsilon") } == [1e-5, 1e-6, 1e-5])
    let factors = try program.layer(0).operations.filter { $0.kind == .affine }
      .map { $0.attributes.real("factor") }
    #expect(factors == [3.5565588200778455, 3.5565588200778455])
    #expect(program.ignoredTensors.contains("*.self_attn.slope_rate"))
    // Slopes fall from layer to layer: 2^-2 for the first of 4 heads, and almost 0 in the last one.
    let constants = try program.layer(0).weights.first { $0.role == .constant }?.constants
    #expect(abs(try #require(constants?.first?.first) + 0.25) < 1e-5)
  }

  @Test func miniMaxM1TurnsHalfAHead() throws {
    let program = try program(fixture("minimax_m1"))
    #expect(try program.attributes(.rope, in: 7).int("rotated") == 64)
    #expect(try program.layer(6).operations.contains { $0.kind == .linearAttention })
  }

  @Test func miniMaxM2NormalisesAllHeadsTogether() throws {
    let program = try program(fixture("minimax_m2"))
    #expect(
      try program.attributes(.norm, in: 0, at: "q_norm").texts("axes") == ["heads", "head_dim"])
    let route = try program.attributes(.route, in: 0)
    #expect(route.text("scoring") == "sigmoid" && route.flag("normalize"))
    #expect(route.real("normalize_epsilon") == 0 && route["scale"] == nil)
    #expect(try program.attributes(.rope, in: 0).int("rotated") == 64)
    #expect(
      try program.stored(in: 0).contains(
        "model.layers.{layer}.block_sparse_moe.e_score_correction_bias"))
  }

  @Test func llama4WeighsTheInput() throws {
    let program = try program(fixture("llama4_text"))
    #expect(try program.operation(.dispatch, in: 0).operand("weights") != nil)
    #expect(try program.attributes(.combine, in: 0).flag("unweighted"))
    #expect(try program.attributes(.rope, in: 0).text("layout") == "interleaved")
    #expect(try program.attributes(.attention, in: 0).int("chunk") == 16)
    // One layer of four has no positions, no chunks and no norm, but a temperature.
    let still = try program.layer(3).operations
    #expect(still.allSatisfy { $0.kind != .rope })
    let temperature = try program.attributes(.positionScale, in: 3)
    #expect(temperature.real("floor") == 8 && temperature.real("scale") == 0.1)
    #expect(try program.attributes(.attention, in: 3)["chunk"] == nil)
    #expect(still.filter { $0.kind == .norm }.count == 2)
    #expect(try program.layer(0).operations.filter { $0.kind == .norm }.count == 4)
    #expect(try program.stored(in: 0).contains("model.layers.{layer}.feed_forward.router.weight"))
  }

  @Test func llama4StandsBelowItsWrapper() throws {
    let program = try program(fixture("llama4"))
    #expect(try program.attributes(.rope, in: 0).text("scaling") == "llama3")
    #expect(try program.attributes(.attention, in: 0).int("chunk") == 8192)
    #expect(
      program.functions.flatMap(\.weights).contains { $0.name == "language_model.lm_head.weight" })
    // Maverick has experts in every other layer, and wider dense feed-forwards between.
    guard case .object(let object) = try fixture("llama4"), let text = object["text_config"] else {
      return
    }
    let maverick = try EPHuggingFaceTests.program(
      fixture("llama4").with(["text_config": text.with(["interleave_moe_layer_step": 2])]))
    #expect(try maverick.layer(1).operations.contains { $0.kind == .route })
    #expect(
      try maverick.layer(0).weights.contains {
        $0.name.hasSuffix("feed_forward.up_proj.weight") && $0.axes[0].size == 16384
      })
  }

  @Test func olmoeClipsAfterTheNorm() throws {
    let program = try program(fixture("olmoe").with(["clip_qkv": 8.0]))
    let cuts = try program.layer(0).operations.filter { $0.attributes.text("function") == "clamp" }
    #expect(cuts.count == 3 && cuts.allSatisfy { $0.attributes.real("high") == 8 })
    #expect(
      try program.attributes(.norm, in: 0, at: "k_norm").texts("axes") == ["kv_heads", "head_dim"])
    #expect(try !program.attributes(.route, in: 0).flag("normalize"))
  }

  @Test func graniteMultiplies() throws {
    let program = try program(fixture("granitemoe"))
    #expect(try program.attributes(.attention, in: 0).real("scale") == 0.0625)
    #expect(program.functions[0].operations.last?.attributes.real("factor") == 12)
    #expect(program.functions.last?.operations.last?.attributes.real("factor") == 1 / 6.0)
    let residuals = try program.layer(0).operations.filter { $0.kind == .affine }
    #expect(residuals.map { $0.attributes.real("factor") } == [0.22, 0.22])
    #expect(try program.attributes(.route, in: 0).text("scoring") == "softmax_selected")
    #expect(program.parameterCount.table == 0, "the head uses the token table")
  }

  @Test func phiMoEMixesSparsely() throws {
    let program = try program(fixture("phimoe"))
    let route = try program.attributes(.route, in: 0)
    #expect(route.text("scoring") == "sparse_mixer" && route.real("jitter") == 0.01)
    #expect(try program.attributes(.norm, in: 0).text("form") == "layer")
    #expect(program.functions.flatMap(\.weights).contains { $0.name == "lm_head.bias" })
    #expect(try program.stored(in: 0).contains("model.layers.{layer}.self_attn.o_proj.bias"))
  }

  @Test func ernieCorrectsSoftmaxScores() throws {
    let program = try program(fixture("ernie4_5_moe"))
    let route = try program.attributes(.route, in: 1)
    #expect(route.text("scoring") == "softmax" && route.flag("normalize"))
    #expect(route.real("normalize_minimum") == 1e-12)
    #expect(try program.operation(.route, in: 1).operand("bias") != nil)
    #expect(try program.attributes(.rope, in: 0).text("layout") == "interleaved")
    #expect(
      try program.stored(in: 1).contains(
        "model.layers.{layer}.mlp.moe_statics.e_score_correction_bias"))
  }

  @Test func dotsMayHaveWindows() throws {
    let program = try program(fixture("dots1"))
    #expect(try program.attributes(.attention, in: 0)["window"] == nil)
    #expect(try program.attributes(.route, in: 1).real("scale") == 2.5)
    let sliding = try EPHuggingFaceTests.program(
      fixture("dots1").with(["layer_types": .null, "sliding_window": 32, "max_window_layers": 2]))
    #expect(try sliding.attributes(.attention, in: 1)["window"] == nil)
    #expect(try sliding.attributes(.attention, in: 2).int("window") == 32)
  }

  @Test func hunyuanNormalisesAfterTheRotation() throws {
    let program = try program(fixture("hunyuan_v1_moe"))
    let kinds = try program.layer(0).operations.map(\.kind)
    let rope = try #require(kinds.lastIndex(of: .rope))
    #expect(kinds[(rope + 1)...].prefix(2) == [.norm, .norm])
    let names = try program.stored(in: 0)
    #expect(names.contains("model.layers.{layer}.self_attn.query_layernorm.weight"))
    #expect(names.contains("model.layers.{layer}.mlp.gate.wg.weight"))
    #expect(names.contains("model.layers.{layer}.mlp.shared_mlp.up_proj.weight"))
    // Layers may select differently many experts.
    let uneven = try EPHuggingFaceTests.program(
      fixture("hunyuan_v1_moe").with(["moe_topk": [1, 2, 2, 3]]))
    #expect(try (0..<4).map { try uneven.attributes(.route, in: $0).int("top_k") } == [1, 2, 2, 3])
    // An alpha changes the base once and for all.
    let stretched = try EPHuggingFaceTests.program(
      fixture("hunyuan_v1_moe").with([
        "rope_parameters": [
          "type": "dynamic", "alpha": 1000.0, "factor": 1.0, "rope_theta": 10000.0,
        ]
      ]))
    #expect(
      same(try stretched.attributes(.rope, in: 0).real("theta"), 10000 * pow(1000, 16.0 / 14)))
  }

  @Test func dbrxFusesItsProjections() throws {
    let program = try program(fixture("dbrx"))
    #expect(try program.attributes(.rope, in: 0).real("theta") == 500_000)
    let norm = try program.operation(.norm, in: 0)
    #expect(norm.attributes.text("form") == "layer" && norm.operand("bias") == nil)
    let names = try program.stored(in: 0)
    let block = "transformer.blocks.{layer}"
    #expect(names.contains("\(block).norm_attn_norm.attn.Wqkv.weight"))
    #expect(names.contains("\(block).norm_attn_norm.attn.out_proj.weight"))
    #expect(names.contains("\(block).ffn.router.layer.weight"))
    #expect(names.contains("\(block).ffn.experts.mlp.v1"))
    let down = try program.layer(0).weights.first { $0.name.hasSuffix("down_proj.weight") }
    #expect(down?.stored == [StoredTensor("\(block).ffn.experts.mlp.w2", transposed: true)])
    #expect(program.functions[0].weights.map(\.name) == ["transformer.wte.weight"])
    // transformers 5 writes the base it takes beside the published one.
    let saved = try EPHuggingFaceTests.program(
      fixture("dbrx").with([
        "num_key_value_heads": 8,
        "rope_parameters": ["rope_theta": 500_000.0, "rope_type": "default"],
      ]))
    #expect(saved.functions == program.functions)
  }

  @Test func lingFusesItsProjections() throws {
    let first = try program(fixture("bailing_moe"))
    #expect(try first.attributes(.route, in: 0).text("scoring") == "softmax")
    #expect(try first.attributes(.rope, in: 0).int("rotated") == 128)
    let second = try program(fixture("bailing_moe_v2"))
    let route = try second.attributes(.route, in: 1)
    #expect(route.int("groups") == 8 && route.real("scale") == 2.5)
    #expect(try second.attributes(.rope, in: 0).int("rotated") == 64)
    let names = try second.stored(in: 1)
    let layer = "model.layers.{layer}"
    #expect(names.contains("\(layer).attention.query_key_value.weight"))
    #expect(names.contains("\(layer).attention.dense.weight"))
    #expect(names.contains("\(layer).attention.key_layernorm.weight"))
    #expect(names.contains("\(layer).mlp.gate.expert_bias"))
    // Published configs of the second say 'bailing_moe' too, and tell by their class.
    let published = try fixture("bailing_moe_v2").with(["model_type": "bailing_moe"])
    #expect(try program(published).functions == second.functions)
  }

  @Test func nemotronHasOneMixerALayer() throws {
    let program = try program(fixture("nemotron_h"))
    #expect(program.layerCount == 88)
    let names = try program.stored(in: 1)
    #expect(names.contains("backbone.layers.{layer}.norm.weight"))
    #expect(names.contains("backbone.layers.{layer}.mixer.fc1_latent_proj.weight"))
    #expect(names.contains("backbone.layers.{layer}.mixer.experts.{expert}.up_proj.weight"))
    #expect(try program.stored(in: 0).contains("backbone.layers.{layer}.mixer.in_proj.weight"))
    #expect(try program.layer(7).operations.contains { $0.kind == .attention })
    #expect(try program.layer(7).operations.allSatisfy { $0.kind != .rope })
    let route = try program.attributes(.route, in: 1)
    #expect(route.int("top_k") == 22 && route.real("scale") == 5)
    // Step sizes have no limit that could be reached.
    #expect(
      try program.layer(0).operations.allSatisfy { $0.attributes.text("function") != "clamp" })
    let newer = try EPHuggingFaceTests.program(
      fixture("nemotron_h").with(["time_step_limit": [0.0, ["__float__": "Infinity"]]]))
    #expect(newer.functions == program.functions)
    let limited = try EPHuggingFaceTests.program(
      fixture("nemotron_h").with(["time_step_limit": [0.001, 8.0]]))
    #expect(
      try limited.layer(0).operations.contains { $0.attributes.text("function") == "clamp" })
  }

  @Test func miMoSlidesWithSinks() throws {
    let program = try program(fixture("mimo_v2_flash"))
    let full = try program.attributes(.attention, in: 0)
    #expect(full["window"] == nil)
    let sliding = try program.attributes(.attention, in: 1)
    #expect(sliding.int("window") == 129)
    #expect(try program.operation(.attention, in: 1).operand("sinks") != nil)
    #expect(try program.operation(.attention, in: 0).operand("sinks") == nil)
    #expect(try program.attributes(.rope, in: 0).real("theta") == 5_000_000)
    #expect(try program.attributes(.rope, in: 1).real("theta") == 10_000)
    #expect(try program.attributes(.rope, in: 1).int("rotated") == 64)
    #expect(try program.attributes(.affine, in: 0).real("factor") == 0.707)
    let keys = try program.layer(1).weights.first { $0.name.hasSuffix("k_proj.weight") }
    #expect(keys?.axes[0].size == 8)
    #expect(
      try program.stored(in: 1).contains("model.layers.{layer}.self_attn.attention_sink_bias"))
    #expect(try program.attributes(.route, in: 1)["scale"] == nil)
  }
}
