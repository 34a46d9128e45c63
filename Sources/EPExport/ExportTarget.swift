/// What plans are exported for.
public enum ExportTarget: String, Hashable, Sendable, CaseIterable {
  /// vLLM: commands for every node.
  case vllm
  /// SGLang: commands for every node, and its router's.
  case sglang
  /// TensorRT-LLM: a launch and a YAML file for every instance.
  case trtllm
  /// Kubernetes: manifests that run vLLM or SGLang.
  case kubernetes
}

/// An inference engine that launch commands are written for, at one version.
public enum Engine: String, Hashable, Sendable, CaseIterable {
  case vllm, sglang, trtllm

  /// The name people use.
  public var title: String {
    switch self {
    case .vllm: return "vLLM"
    case .sglang: return "SGLang"
    case .trtllm: return "TensorRT-LLM"
    }
  }

  /// The version whose flags are written. Engines rename flags within months, so others may refuse
  /// what is written for this one.
  public var version: String {
    switch self {
    case .vllm: return "0.33.0"
    case .sglang: return "0.5.23"
    case .trtllm: return "1.2.1"
    }
  }

  /// The flags that are written, as that version takes them.
  public var schema: FlagSchema {
    switch self {
    case .vllm: return .vllm
    case .sglang: return .sglang
    case .trtllm: return .tensorRTLLM
    }
  }
}
