import EPJSON
import EPModel
import Testing

/// Sizes of published models, which agree with what their publishers say to the digits they give:
/// 671B with 37B activated for DeepSeek-V3, 116.8B with 5.1B for gpt-oss-120b, 46.7B with 12.9B for
/// Mixtral. Some count the token table among the activated ones (`table`), others do not; neither
/// vision towers nor MTP depths are in here.
@Suite struct ParameterTests {
  @Test(arguments: [
    ("deepseek_v3", "671.0", "37.6", true), ("deepseek_v32", "671.9", "37.5", false),
    ("kimi_k2", "1026.4", "31.7", false), ("mixtral", "46.7", "12.9", true),
    ("qwen2_moe", "57.4", "14.2", true), ("qwen3_moe", "235.1", "22.2", true),
    ("qwen3_next", "79.7", "3.9", true), ("qwen3_5_moe", "34.7", "2.9", false),
    ("gpt_oss", "116.8", "5.1", false), ("glm4_moe", "106.9", "12.8", false),
    ("glm_moe_dsa", "743.9", "40.8", false), ("minimax_m1", "456.1", "47.2", false),
    ("minimax_m2", "228.7", "10.4", false), ("llama4", "107.8", "17.2", true),
    ("ernie4_5_moe", "21.8", "3.4", false), ("dbrx", "131.6", "36.5", true),
    ("bailing_moe", "16.8", "2.8", true), ("bailing_moe_v2", "16.3", "1.4", true),
    ("nemotron_h", "120.7", "12.2", false), ("mimo_v2_flash", "308.8", "15.4", true),
  ])
  func sizesArePublishedOnes(name: String, total: String, activated: String, table: Bool) throws {
    let count = try program(fixture(name)).parameterCount
    #expect(billions(count.total) == total)
    #expect(billions(count.activated - (table ? 0 : count.table)) == activated)
  }

  /// A count in billions with one decimal, half rounded up.
  private func billions(_ count: Int) -> String {
    let tenths = (count + 50_000_000) / 100_000_000
    return "\(tenths / 10).\(tenths % 10)"
  }
}
