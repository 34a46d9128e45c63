import EPJSON

extension ConfigReader {
  /// The refusal of a family whose layers cannot be written with the DSL yet, by the field that
  /// asks for what is missing.
  func inexpressible(_ family: Family) throws(ImportError) -> ImportError {
    let text = try optionalObject("text_config") ?? self
    func refusal(_ keys: [String], _ what: String) throws(ImportError) -> ImportError {
      for key in keys where try text.optional(key) != nil {
        return text.refusal(key, "(\(what)) cannot be expressed yet")
      }
      return self.refusal("model_type", "(\(what)) cannot be expressed yet")
    }
    switch family {
    case .deepseekV4: return try refusal(["hc_mult"], "hyper-connections")
    case .kimiK3:
      return try refusal(["attn_res_block_size"], "residuals that attend to earlier layers")
    case .miniMaxM3:
      return try refusal(["sparse_attention_config"], "attention to selected blocks of tokens")
    case .step3p7: return try refusal([], "attention gated by head, clamped experts")
    case .gemma4:
      return try refusal(
        ["enable_moe_block"], "a dense and a routed feed-forward with norms of their own")
    default: return self.refusal("model_type", "cannot be expressed yet")
    }
  }
}
