extension FlagSchema {
  /// What `vllm serve` takes: names, types and choices as its parser declares them (`AsyncEngineArgs`
  /// of the package `vllm` 0.33.0). Keys inside JSON are fields of its classes `EPLBConfig`,
  /// `KVTransferConfig` and `SpeculativeConfig`.
  public static let vllm = FlagSchema(
    name: "vLLM 0.33.0",
    flags: [
      Flag("--host", .text),
      Flag("--port", .int(least: 1)),
      Flag("--trust-remote-code", .toggle),
      Flag(
        "--dtype",
        .choice([
          "auto", "bfloat16", "float", "float16", "float32", "half",
        ])),
      Flag("--headless", .toggle),
      Flag("--api-server-count", .int(least: 1)),
      Flag("--nnodes", .int(least: 1)),
      Flag("--node-rank", .int(least: 0)),
      Flag("--master-addr", .text),
      Flag("--master-port", .int(least: 1)),
      Flag("--tensor-parallel-size", .int(least: 1)),
      Flag("--pipeline-parallel-size", .int(least: 1)),
      Flag("--data-parallel-size", .int(least: 1)),
      Flag("--data-parallel-size-local", .int(least: 1)),
      Flag("--data-parallel-start-rank", .int(least: 0)),
      Flag("--data-parallel-address", .text),
      Flag("--data-parallel-rpc-port", .int(least: 1)),
      Flag("--enable-expert-parallel", .toggle),
      Flag(
        "--all2all-backend",
        .choice([
          "allgather_reducescatter", "deepep_high_throughput", "deepep_low_latency", "deepep_v2",
          "flashinfer_all2allv", "flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided",
          "moonep", "mori_high_throughput", "mori_low_latency", "naive", "nixl_ep", "pplx",
        ])),
      Flag("--enable-eplb", .toggle),
      Flag("--eplb-config", .json([Key("num_redundant_experts", .int(least: 0))])),
      Flag("--enable-dbo", .toggle),
      Flag("--max-num-batched-tokens", .int(least: 1)),
      Flag("--max-num-seqs", .int(least: 1)),
      Flag("--gpu-memory-utilization", .real(0...1)),
      Flag(
        "--kv-transfer-config",
        .json([
          Key("kv_connector", .choice(["NixlConnector", "MooncakeConnector"])),
          Key("kv_role", .choice(["kv_producer", "kv_consumer", "kv_both"])),
          Key("kv_load_failure_policy", .choice(["recompute", "fail"])),
        ])),
      Flag(
        "--speculative-config",
        .json([
          Key("method", .choice(["mtp"])), Key("num_speculative_tokens", .int(least: 1)),
        ])),
    ])
}
