import EPHuggingFace
import EPJSON
import EPModel
import Testing

@Suite struct RefusalTests {
  @Test func everyFamilyHasAFixture() throws {
    for family in HuggingFaceImport.families {
      #expect(throws: Never.self) { try fixture(family) }
    }
  }

  @Test(arguments: HuggingFaceImport.families)
  func unknownFieldsAreRefusedByName(family: String) throws {
    let config = try fixture(family)
    guard imports(config) else { return }
    #expect(
      refusal(config.with(["surprising_factor": 2]))
        == "\(family): 'surprising_factor' = 2 is not a known field, and may change numerics")
    // What says nothing, and what is known to say nothing, is passed over.
    for quiet: JSONValue in [
      config.with(["surprising_factor": .null]), config.with(["_surprising_factor": 2]),
      config.with(["bos_token_id": 3, "classifier_dropout": 0.1, "use_cache": false]),
    ] { #expect(imports(quiet)) }
  }

  @Test(arguments: HuggingFaceImport.families)
  func sizesAreRequired(family: String) throws {
    let config = try fixture(family)
    guard imports(config) else { return }
    guard case .object(let object) = config else { return }
    let text = object["text_config"] == nil ? "$" : "$.text_config"
    for (key, path) in [("vocab_size", text), ("hidden_size", text), ("d_model", "$")] {
      let fields = object["text_config"] ?? config
      guard case .object(let inner) = fields, inner[key] != nil else { continue }
      let cut = fields.with([key: .null])
      let changed = object["text_config"] == nil ? cut : config.with(["text_config": cut])
      #expect(refusal(changed) == "\(path).\(key): this key is required")
    }
  }

  @Test func missingFieldsAreNamedByPath() throws {
    let config = try fixture("deepseek_v3")
    for key in [
      "num_hidden_layers", "num_attention_heads", "kv_lora_rank", "n_routed_experts", "n_group",
      "num_experts_per_tok", "moe_intermediate_size", "routed_scaling_factor", "rope_theta",
      "first_k_dense_replace", "n_shared_experts", "intermediate_size", "v_head_dim",
    ] {
      #expect(refusal(config.with([key: .null])) == "$.\(key): this key is required")
    }
    #expect(
      refusal(config.with(["rope_scaling": ["type": "yarn"]]))
        == "$.rope_scaling.factor: this key is required")
    #expect(
      refusal(config.with(["model_type": .null])) == "$.model_type: this key is required")
  }

  @Test func valuesOfOtherTypesAreNamedByPath() throws {
    let config = try fixture("deepseek_v3")
    #expect(
      refusal(config.with(["hidden_size": "7168"]))
        == "$.hidden_size: expected an integer, found a string")
    #expect(
      refusal(config.with(["num_hidden_layers": 0]))
        == "$.num_hidden_layers: expected an integer in 1...1024, found 0")
    #expect(
      refusal(config.with(["norm_topk_prob": 1]))
        == "$.norm_topk_prob: expected a boolean, found an integer")
    #expect(
      refusal(config.with(["rope_scaling": 4]))
        == "$.rope_scaling: expected an object, found an integer")
    #expect(refusal([1]).hasPrefix("$: expected an object"))
  }

  @Test(arguments: [
    ("deepseek_v4", "deepseek_v4: 'hc_mult' = 4 (hyper-connections) cannot be expressed yet"),
    (
      "kimi_k3",
      "kimi_k3: 'text_config.attn_res_block_size' = 12 (residuals that attend to earlier layers) "
        + "cannot be expressed yet"
    ),
    (
      "gemma4",
      "gemma4: 'text_config.enable_moe_block' = true (a dense and a routed feed-forward with norms "
        + "of their own) cannot be expressed yet"
    ),
    (
      "step3p7",
      "step3p7: 'model_type' = \"step3p7\" (attention gated by head, clamped experts) cannot be "
        + "expressed yet"
    ),
    (
      "glm_moe_dsa_shared",
      "glm_moe_dsa: 'indexer_types' = [\"full\", \"full\", \"full\", \"shared\", ...] (layers that "
        + "reuse another layer's selection) cannot be expressed yet"
    ),
    (
      "deepseek_demo",
      "a DeepSeek inference demo config ('dim' = 5120, 'n_layers' = 60), which leaves out what the "
        + "model needs; import the config.json of the Hugging Face repository"
    ),
  ])
  func whatCannotBeExpressedIsNamed(name: String, reason: String) throws {
    #expect(refusal(try fixture(name)) == reason)
  }

  @Test func blockSparseAttentionIsRefused() throws {
    #expect(
      refusal(try fixture("minimax_m3")).hasPrefix("minimax_m3: 'sparse_attention_config' = "))
  }

  @Test func wrappersHoldModelsOfTheirFamily() throws {
    let config = try fixture("kimi_k25")
    guard case .object(let object) = config, let text = object["text_config"] else { return }
    #expect(
      refusal(config.with(["text_config": text.with(["model_type": "mixtral"])]))
        == "kimi_k25: 'text_config.model_type' = \"mixtral\" is not a model that this family wraps")
    #expect(refusal(config.with(["text_config": .null])) == "$.text_config: this key is required")
    #expect(
      refusal(config.with(["text_config": text.with(["odd": 1])]))
        == "kimi_k25: 'text_config.odd' = 1 is not a known field, and may change numerics")
  }

  @Test func unknownFamiliesAreRefused() throws {
    #expect(
      refusal(["model_type": "llama"])
        == "llama: 'model_type' = \"llama\" is no family that can be imported; known are "
        + HuggingFaceImport.families.sorted().joined(separator: ", "))
  }

  /// A field with a value that the model could not honour, family by family.
  @Test(
    arguments: [
      ("deepseek_v3", "hidden_act", "gelu"), ("deepseek_v3", "scoring_func", "softmax"),
      ("deepseek_v3", "topk_method", "greedy"), ("deepseek_v3", "moe_layer_freq", 2),
      ("deepseek_v3", "num_key_value_heads", 8), ("deepseek_v3", "qk_head_dim", 100),
      ("deepseek_v2", "norm_topk_prob", true), ("deepseek_v2", "topk_method", "noaux_tc"),
      ("deepseek_v32", "q_lora_rank", .null), ("deepseek_v32", "mlp_bias", true),
      ("glm_moe_dsa", "indexer_rope_interleave", false), ("glm_moe_dsa", "index_topk_freq", 4),
      ("kimi_linear", "mla_use_nope", false), ("kimi_linear", "layer_types", ["full_attention"]),
      ("glm4_moe_lite", "first_k_dense_replace", 2), ("qwen3_moe", "qkv_bias", true),
      ("qwen3_moe", "partial_rotary_factor", 0.5), ("gpt_oss", "experts_per_token", 2),
      ("minimax", "rotary_dim", 8), ("minimax_m1", "postnorm", false),
      ("minimax_m1", "shared_intermediate_size", 8), ("minimax_m2", "use_qk_norm", false),
      ("minimax_m2", "qk_norm_type", "per_head"), ("llama4_text", "no_rope_layers", [1, 0]),
      ("phimoe", "num_experts_per_tok", 4), ("ernie4_5_moe", "use_bias", true),
      ("hunyuan_v1_moe", "use_cla", true), ("hunyuan_v1_moe", "num_shared_expert", [1, 2, 1, 1]),
      ("longcat_flash", "router_bias", true), ("longcat_flash", "zero_expert_type", "copy"),
      ("longcat_flash", "norm_topk_prob", true), ("dbrx", "tie_word_embeddings", true),
      ("bailing_moe", "norm_head", true), ("bailing_moe", "use_bias", true),
      ("bailing_moe_v2", "norm_topk_prob", false), ("nemotron_h", "mlp_hidden_act", "silu"),
      ("nemotron_h", "hybrid_override_pattern", "MEX"), ("mimo_v2_flash", "swa_head_dim", 64),
      ("mimo_v2_flash", "add_full_attention_sink_bias", true),
      ("mimo_v2_flash", "swa_rope_theta", 5000), ("mimo_v2_flash", "hybrid_layer_pattern", [0]),
      ("mixtral", "torch_dtype", "int8"), ("mixtral", "num_attention_heads", 7),
    ] as [(String, String, JSONValue)])
  func valuesThatCannotBeHonouredAreNamed(
    name: String, field: String, value: JSONValue
  ) throws {
    let text = refusal(try fixture(name).with([field: value]).withNull(field, if: value == .null))
    #expect(text.hasPrefix("\(name): '\(field)' = "), "\(text)")
  }

  @Test(arguments: ["dynamic", "longrope", "proportional", "mystery"])
  func scalingsThatAreNotKnownAreRefused(type: String) throws {
    let config = try fixture("mixtral").with([
      "rope_scaling": ["rope_type": .string(type), "factor": 2.0]
    ])
    #expect(
      refusal(config)
        == "mixtral: 'rope_scaling.rope_type' = \"\(type)\" is a scaling of positions that cannot "
        + "be expressed yet")
  }

  @Test func fieldsOfScalingsAreKnownToo() throws {
    let config = try fixture("mixtral").with([
      "rope_scaling": ["rope_type": "linear", "factor": 2.0, "bend": 3]
    ])
    #expect(
      refusal(config)
        == "mixtral: 'rope_scaling.bend' = 3 is not a known field, and may change numerics")
  }

  @Test func twoStylesOfRopeAreNoneAtAll() throws {
    let config = try fixture("mixtral").with([
      "rope_scaling": ["rope_type": "linear", "factor": 2.0],
      "rope_parameters": ["rope_type": "default", "rope_theta": 1e6],
    ])
    #expect(refusal(config).contains("stands beside 'rope_parameters'"))
  }

  private func imports(_ config: JSONValue) -> Bool {
    (try? HuggingFaceImport.result(fromConfig: JSONNode(config))) != nil
  }
}

extension JSONValue {
  /// The config with a field that is null rather than missing.
  fileprivate func withNull(_ key: String, if condition: Bool) -> JSONValue {
    guard condition, case .object(var object) = self else { return self }
    object[key] = JSONValue.null
    return .object(object)
  }
}
