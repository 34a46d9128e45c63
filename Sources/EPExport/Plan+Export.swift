public import EPIR
public import EPPlan

extension Plan {
  /// Writes the plan for a target, after all preflight checks.
  ///
  /// The plan must have been verified. `engine` is what runs in Kubernetes' pods, and is not asked
  /// for other targets.
  public func exported(
    to target: ExportTarget, engine: Engine = .sglang, _ request: ExportRequest = ExportRequest()
  ) throws(Diagnostics) -> ExportBundle {
    try request.check()
    if !cluster.unlike.isEmpty {
      throw Diagnostics(
        "export-unlike",
        "'\(cluster.name)' has unlike devices, and engines give every rank as many experts; compile the "
          + "plan for devices of one kind")
    }
    let runs: Engine
    switch target {
    case .vllm: runs = .vllm
    case .sglang: runs = .sglang
    case .trtllm: runs = .trtllm
    case .kubernetes:
      if engine == .trtllm {
        throw Diagnostics(
          "export-engine", "manifests are written for vllm or sglang, not for trtllm")
      }
      runs = engine
    }
    let preflight = Preflight(self, for: runs)
    try preflight.require()
    var bundle: ExportBundle
    switch target {
    case .vllm: bundle = try VLLMExporter(plan: self, request: request).export()
    case .sglang: bundle = try SGLangExporter(plan: self, request: request).export()
    case .trtllm: bundle = try TensorRTLLMExporter(plan: self, request: request).export()
    case .kubernetes:
      bundle = try KubernetesExporter(plan: self, request: request, engine: runs).export()
    }
    bundle.checks = preflight.checks
    return bundle
  }
}
