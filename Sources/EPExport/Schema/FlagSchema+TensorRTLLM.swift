extension FlagSchema {
  /// What `trtllm-serve` takes as far as it is written here; all else goes into the YAML file, whose
  /// keys are fields of `TorchLlmArgs` of the package `tensorrt_llm` 1.2.1.
  public static let tensorRTLLM = FlagSchema(
    name: "TensorRT-LLM 1.2.1",
    flags: [
      Flag("--host", .text),
      Flag("--port", .int(least: 1)),
      Flag("--config", .text),
      Flag("--trust_remote_code", .toggle),
    ])
}
