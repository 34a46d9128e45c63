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
}
