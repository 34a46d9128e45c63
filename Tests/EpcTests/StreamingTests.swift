import Foundation
import Testing

/// A model that is larger than the memory it may take, as a user runs it.
@Suite struct StreamingTests {
  private let config = """
    {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
     "hidden_size": 256, "intermediate_size": 256, "moe_intermediate_size": 256,
     "num_hidden_layers": 4, "first_k_dense_replace": 1, "n_routed_experts": 64,
     "n_shared_experts": 1, "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2,
     "norm_topk_prob": true, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
     "topk_method": "noaux_tc", "num_attention_heads": 4, "num_key_value_heads": 4,
     "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
     "v_head_dim": 16, "vocab_size": 512, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
     "rope_theta": 10000.0, "rope_scaling": null, "hidden_act": "silu", "attention_bias": false,
     "num_nextn_predict_layers": 0, "tie_word_embeddings": false, "moe_layer_freq": 1,
     "torch_dtype": "float32"}
    """

  private struct Report: Decodable {
    struct Prompt: Decodable { var tokens: [Int] }
    struct Streaming: Decodable {
      var expertBytes: Int
      var capacityBytes: Int
      var hits: Int
      var misses: Int
      var bytesRead: Int
    }
    struct Memory: Decodable {
      var weightBytes: Int
      var cacheBytes: Int
      var valueBytes: Int
      var programBytes: Int
      var peakBytes: Int
    }
    var prompts: [Prompt]
    var memory: Memory
    var streaming: Streaming?
  }

  @Test func aModelLargerThanItsMemoryMakesTheSameTokens() throws {
    let folder = try Scratch()
    let (model, plan, weights) = (
      folder.path("config.json"), folder.path("plan.json"), folder.path("weights")
    )
    try Data(config.utf8).write(to: URL(filePath: model))
    let compiled = try epc([
      "compile", model, "--ep", "1", "--tokens-per-gpu", "32", "--batch", "2", "-o", plan,
    ])
    #expect(compiled.status == 0, "\(compiled.errors)")
    let written = try epc(["model", "synthesize", plan, "--seed", "4", "-o", weights])
    #expect(written.status == 0, "\(written.errors)")
    let arguments = [
      "exec", plan, "--weights", weights, "--tokens", "7,8,9", "--generate", "24", "--format",
      "json",
    ]
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let held = try decoder.decode(Report.self, from: Data(epc(arguments).output.utf8))
    #expect(held.streaming == nil)
    // The peak is what is said to be there, whatever weights are kept as.
    for dtype in ["fp32", "bf16", "int8"] {
      let run = try epc(arguments + ["--dtype", dtype])
      let memory = try decoder.decode(Report.self, from: Data(run.output.utf8)).memory
      let parts = memory.weightBytes + memory.cacheBytes + memory.valueBytes
      #expect(memory.peakBytes > parts, "\(dtype): \(memory)")
      #expect(
        Double(memory.peakBytes) < 1.1 * Double(parts) + Double(memory.programBytes),
        "\(dtype): \(memory)")
    }

    // The system gives no more memory than this, so what is streamed cannot be held.
    let limit = 112 << 20
    let limited = ["/bin/sh", "-c", "ulimit -d \(limit >> 10); exec \"$0\" \"$@\""]
    let run = try epc(arguments + ["--memory", "72MiB"], under: limited)
    #expect(run.status == 0, "\(run.errors)")
    let beyond = try epc(arguments + ["--memory", "1GiB"], under: limited)
    #expect(beyond.status == 1 && beyond.errors.contains("no memory for weights"))
    let streamed = try decoder.decode(Report.self, from: Data(run.output.utf8))
    let report = try #require(streamed.streaming)
    #expect(report.expertBytes > limit)
    #expect(report.capacityBytes < 72 << 20)
    #expect(streamed.memory.peakBytes < 72 << 20)
    #expect(report.hits > 0 && report.misses > 0 && report.bytesRead > 0)
    #expect(held.prompts.map(\.tokens) == streamed.prompts.map(\.tokens))

    let small = try epc(arguments + ["--memory", "1MiB"])
    #expect(small.status == 1)
    let words = try #require(small.errors.split(separator: "'--memory ").last)
    #expect(small.errors.contains("1 MiB of memory is too little: weights that stay take"))
    let least = try #require(words.split(separator: " ").first.flatMap { Int($0) })
    // What the program itself takes is not the same to the page from run to run.
    let enough = try epc(arguments + ["--memory", "\(least + 8)MiB"])
    #expect(enough.status == 0, "\(enough.errors)")
    #expect(try epc(arguments + ["--memory", "much"]).errors.contains("write a size such as 8GiB"))
  }
}
