extension DocumentSchema {
  /// Keys of `TorchLlmArgs` and the classes of its parts in `tensorrt_llm/llmapi/llm_args.py` of
  /// TensorRT-LLM 1.2, which refuses what it does not know.
  static let tensorRTLLM = DocumentSchema.object([
    Field("dtype", .choice(["auto", "bfloat16", "float16", "float32"]), isRequired: true),
    Field("tensor_parallel_size", .int(least: 1), isRequired: true),
    Field("pipeline_parallel_size", .int(least: 1)),
    Field("pp_partition", .list(.int(least: 1))),
    Field("moe_expert_parallel_size", .int(least: 1)),
    Field("gpus_per_node", .int(least: 1)),
    Field("enable_attention_dp", .flag),
    Field("max_batch_size", .int(least: 1)),
    Field("max_num_tokens", .int(least: 1)),
    Field("enable_chunked_prefill", .flag),
    Field("disable_overlap_scheduler", .flag),
    Field(
      "cuda_graph_config",
      .object([Field("enable_padding", .flag), Field("max_batch_size", .int(least: 0))])),
    Field(
      "kv_cache_config",
      .object([
        Field("free_gpu_memory_fraction", .real(0...1)), Field("enable_block_reuse", .flag),
      ])),
    Field(
      "moe_config",
      .object([
        Field(
          "backend",
          .choice([
            "AUTO", "CUTLASS", "CUTEDSL", "WIDEEP", "TRTLLM", "DEEPGEMM", "VANILLA", "TRITON",
          ])), Field("load_balancer", .text),
      ])),
    Field(
      "speculative_config",
      .object([
        Field("decoding_type", .choice(["MTP"]), isRequired: true),
        Field("num_nextn_predict_layers", .int(least: 1)),
      ])),
    Field(
      "cache_transceiver_config",
      .object([
        Field("backend", .choice(["DEFAULT", "UCX", "NIXL", "MOONCAKE", "MPI"])),
        Field("max_tokens_in_buffer", .int(least: 1)),
      ])),
  ])

  /// The file of `trtllm-serve disaggregated`.
  static let tensorRTLLMRouter = DocumentSchema.object([
    Field("hostname", .text, isRequired: true), Field("port", .int(least: 1), isRequired: true),
    Field("backend", .choice(["pytorch"])),
    Field("context_servers", servers, isRequired: true),
    Field("generation_servers", servers, isRequired: true),
  ])

  private static let servers = DocumentSchema.object([
    Field("num_instances", .int(least: 1), isRequired: true),
    Field("urls", .list(.text), isRequired: true),
  ])
}
