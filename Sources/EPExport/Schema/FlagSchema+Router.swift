extension FlagSchema {
  private static let policies = [
    "random", "round_robin", "cache_aware", "power_of_two", "manual",
  ]

  /// What `python3 -m sglang_router.launch_router` takes, as its parser declares it.
  public static let router = FlagSchema(
    name: "sglang-router",
    flags: [
      Flag("--host", .text),
      Flag("--port", .int(least: 1)),
      Flag("--worker-urls", .texts(least: 1)),
      Flag("--policy", .choice(policies)),
      Flag("--pd-disaggregation", .toggle),
      Flag("--prefill", .texts(least: 1), repeats: true),
      Flag("--decode", .texts(least: 1), repeats: true),
      Flag("--service-discovery", .toggle),
      Flag("--service-discovery-port", .int(least: 1)),
      Flag("--selector", .texts(least: 1)),
      Flag("--prefill-selector", .texts(least: 1)),
      Flag("--decode-selector", .texts(least: 1)),
    ])
  /// The version of vllm-router whose flags are written.
  static let vllmRouterVersion = "0.1.17"

  /// What `vllm-router` takes, as its parser (`vllm_router.router_args`) declares it.
  public static let vllmRouter = FlagSchema(
    name: "vllm-router",
    flags: [
      Flag("--host", .text),
      Flag("--port", .int(least: 1)),
      Flag("--worker-urls", .texts(least: 1)),
      Flag(
        "--policy",
        .choice([
          "random", "round_robin", "cache_aware", "kv_aware", "power_of_two", "consistent_hash",
          "sticky_least_loaded",
        ])),
      Flag("--vllm-pd-disaggregation", .toggle),
      Flag("--prefill", .texts(least: 1), repeats: true),
      Flag("--decode", .text, repeats: true),
      Flag("--kv-connector", .choice(["nixl", "mooncake", "moriio"])),
    ])
}
