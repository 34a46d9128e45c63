extension FlagSchema {
  /// What `python3 -m sglang.launch_server` takes: names, types and choices as its parser declares
  /// them (`ServerArgs.add_cli_args` of the package `sglang` 0.5.23).
  public static let sglang = FlagSchema(
    name: "SGLang 0.5.23",
    flags: [
      Flag("--model-path", .text),
      Flag("--host", .text),
      Flag("--port", .int(least: 1)),
      Flag("--trust-remote-code", .toggle),
      Flag(
        "--dtype",
        .choice([
          "auto", "half", "float16", "bfloat16", "float", "float32",
        ])),
      Flag("--nnodes", .int(least: 1)),
      Flag("--node-rank", .int(least: 0)),
      Flag("--dist-init-addr", .text),
      Flag("--tp-size", .int(least: 1)),
      Flag("--pp-size", .int(least: 1)),
      Flag("--attn-dp-size", .int(least: 1)),
      Flag("--enable-dp-lm-head", .toggle),
      Flag("--moe-dense-tp-size", .int(least: 1)),
      Flag("--ep-size", .int(least: 1)),
      Flag(
        "--moe-a2a-backend",
        .choice([
          "none", "deepep", "mooncake", "nixl", "mori", "ascend_fuseep", "flashinfer", "megamoe",
          "deepep_v2", "pplx", "ascend_tp", "flashinfer_megamoe",
        ])),
      Flag(
        "--deepep-mode",
        .choice([
          "auto", "normal", "low_latency",
        ])),
      Flag("--ep-num-redundant-experts", .int(least: 0)),
      Flag("--init-expert-location", .text),
      Flag(
        "--ep-dispatch-algorithm",
        .choice([
          "static", "dynamic", "fake", "lp",
        ])),
      Flag("--enable-eplb", .toggle),
      Flag("--enable-two-batch-overlap", .toggle),
      Flag("--chunked-prefill-size", .int(least: 1)),
      Flag("--max-prefill-tokens", .int(least: 1)),
      Flag("--max-running-requests", .int(least: 1)),
      Flag("--cuda-graph-max-bs-decode", .int(least: 1)),
      Flag("--mem-fraction-static", .real(0...1)),
      Flag(
        "--disaggregation-mode",
        .choice([
          "null", "prefill", "decode",
        ])),
      Flag(
        "--disaggregation-transfer-backend",
        .choice([
          "mooncake", "nixl", "ascend", "fake", "mori", "mooncake_tcp",
        ])),
      Flag("--disaggregation-bootstrap-port", .int(least: 1)),
      Flag("--speculative-algorithm", .text),
      Flag("--speculative-num-steps", .int(least: 1)),
      Flag("--speculative-eagle-topk", .int(least: 1)),
      Flag("--speculative-num-draft-tokens", .int(least: 1)),
    ])
}
