import EPJSON
import EPModel
import Foundation
import Testing

/// Settings that published configs do not have, as transformers 5.23 reads them; tiny random models with
/// them give its logits.
@Suite struct SettingTests {
  @Test func gptOSSScalesPositionsUnlessTold() throws {
    let given = try program(fixture("gpt_oss"))
    let silent = try program(fixture("gpt_oss").with(["rope_scaling": .null]))
    #expect(silent == given)
    let plain = try program(
      fixture("gpt_oss").with([
        "rope_scaling": .null,
        "rope_parameters": ["rope_type": "default", "rope_theta": 150000.0],
      ]))
    #expect(try plain.attributes(.rope, in: 0)["scaling"] == nil)
  }

  @Test func qwenSlidesInEveryOtherLayer() throws {
    let config = try fixture("qwen2_moe").with([
      "use_sliding_window": true, "sliding_window": 64, "max_window_layers": 3,
    ])
    let windows = try (0..<5).map { try program(config).attributes(.attention, in: $0)["window"] }
    #expect(windows == [64, nil, 64, nil, nil])
    #expect(
      refusal(
        config.with([
          "use_sliding_window": false, "num_hidden_layers": 1,
          "layer_types": ["sliding_attention"],
        ])
      ).hasPrefix("qwen2_moe: 'use_sliding_window' = false is not true, but layers"))
    let all = try program(
      fixture("qwen3_moe").with(["use_sliding_window": true, "sliding_window": 64]))
    #expect(try (0..<3).allSatisfy { try all.attributes(.attention, in: $0).int("window") == 64 })
  }

  @Test func oddPartsOfHeadsTurnInWholePairs() throws {
    // 0.3 of 18 elements are 5, which are 2.5 pairs: 6 turn, by theta^(-2i/5).
    let rope = try program(
      fixture("glm4_moe").with(["head_dim": 18, "partial_rotary_factor": 0.3, "rope_theta": 1e4])
    ).attributes(.rope, in: 0)
    #expect(rope.int("rotated") == 6)
    #expect(same(pow(rope.real("theta"), -4.0 / 6), pow(1e4, -4.0 / 5)))
    let sliding = try program(
      fixture("mimo_v2_flash").with(["head_dim": 16, "swa_head_dim": 16])
    ).attributes(.rope, in: 1)
    #expect(sliding.int("rotated") == 6 && same(sliding.real("theta"), pow(1e4, 6.0 / 5)))
  }

  @Test func miMoScalesValuesUnlessTold() throws {
    let config = try fixture("mimo_v2_flash")
    let silent = config.with(["attention_value_scale": .null])
    #expect(try program(silent) == program(config))
    guard case .object(var object) = config else { return }
    object["attention_value_scale"] = JSONValue.null
    let unscaled = try program(.object(object))
    #expect(try !unscaled.layer(0).operations.contains { $0.kind == .affine })
  }

  @Test func kimiLinearMaySayItsSizesTwice() throws {
    let config = try fixture("kimi_linear")
    let older: JSONValue = [
      "full_attn_layers": [3], "kda_layers": [1, 2, 4], "head_dim": 16, "num_heads": 4,
      "short_conv_kernel_size": 4,
    ]
    #expect(try program(config.with(["linear_attn_config": older])) == program(config))
    #expect(
      refusal(config.with(["linear_attn_config": older.with(["head_dim": 8])]))
        == "kimi_linear: 'linear_head_dim' = 16 differs from 'linear_attn_config'")
  }

  @Test(arguments: ["kimi_linear", "nemotron_h"])
  func someHeadsAreNeverTied(family: String) throws {
    let config = try fixture(family)
    #expect(try program(config.with(["tie_word_embeddings": true])) == program(config))
  }
}
