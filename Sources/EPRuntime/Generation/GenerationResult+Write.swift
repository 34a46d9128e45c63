public import EPCheckpoint

extension GenerationResult {
  /// Writes what was kept as a safetensors file, `p{i}.prefill_logits`, `p{i}.decode_tokens`, ...:
  /// the names, shapes and types of reference outputs.
  public func write(to path: String) throws(CheckpointError) {
    var writer = SafetensorsWriter()
    for (index, prompt) in prompts.enumerated() { try write(prompt, "p\(index)", to: &writer) }
    try writer.write(to: path)
  }

  private func write(
    _ prompt: PromptResult, _ name: String, to writer: inout SafetensorsWriter
  ) throws(CheckpointError) {
    func rows(_ values: [Float], _ width: Int) -> [Int] { [values.count / max(width, 1), width] }
    try writer.add("\(name).input_ids", shape: [prompt.prompt.count], prompt.prompt.map(Int64.init))
    try writer.add(
      "\(name).decode_tokens", shape: [prompt.tokens.count], prompt.tokens.map(Int64.init))
    for (key, values, width) in [
      ("prefill_logits", prompt.prefillLogits, vocabulary),
      ("decode_logits", prompt.decodeLogits, vocabulary),
      ("mtp.logits", prompt.draftLogits, vocabulary), ("final_norm", prompt.finalNorm, hidden),
    ] where !values.isEmpty {
      try writer.add("\(name).\(key)", shape: rows(values, width), values)
    }
    for (layer, values) in prompt.hidden {
      try writer.add("\(name).layer\(layer).hidden", shape: rows(values, hidden), values)
    }
    for (prefix, routes) in [("", prompt.routes), ("decode.", prompt.decodeRoutes)] {
      for (layer, table) in routes {
        let shape = [table.experts.count / max(table.topK, 1), table.topK]
        let key = "\(name).\(prefix)layer\(layer)"
        try writer.add("\(key).topk_idx", shape: shape, table.experts)
        try writer.add("\(key).topk_w", shape: shape, table.weights)
      }
    }
  }
}
