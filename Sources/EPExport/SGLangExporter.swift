internal import EPIR
internal import EPModel
internal import EPPlan

/// Writes launch commands for SGLang. What its flags mean and refuse is in the module
/// `sglang.srt.arg_groups` of the version that is written for.
struct SGLangExporter {
  let plan: Plan
  let request: ExportRequest

  /// The folder's file with a pool's expert locations.
  static func locationFile(_ shape: PoolShape) -> String {
    "expert-location-\(shape.role.rawValue).json"
  }

  func export() throws(Diagnostics) -> ExportBundle {
    var bundle = ExportBundle(
      .sglang, version: "SGLang \(Engine.sglang.version)", model: plan.model.name)
    let shapes = plan.shapes
    var instances: [EngineInstance] = []
    for shape in shapes {
      if hasLocations(shape) {
        let locations = ExpertLocations(plan.pools[shape.index])
        bundle.files.append(
          ExportBundle.File(SGLangExporter.locationFile(shape), try locations.sglang()))
      }
      for instance in try EngineInstance.all(shape, request) {
        instances.append(instance)
        for node in 0..<shape.nodes { bundle.commands.append(command(instance, node: node)) }
      }
    }
    if let router = router(instances) { bundle.commands.append(router) }
    bundle.remark(on: plan, request, shapes: shapes)
    for shape in shapes { remark(shape, &bundle) }
    try bundle.requireFlags { $0.name == "router" ? .router : .sglang }
    return bundle
  }

  /// Whether a pool's experts are elsewhere than SGLang would put them itself.
  func hasLocations(_ shape: PoolShape) -> Bool {
    shape.experts > 0
      && (shape.redundant > 0 || !ExpertLocations(plan.pools[shape.index]).areInOrder)
  }

  /// The command of one node.
  func command(_ instance: EngineInstance, node: Int) -> LaunchCommand {
    let shape = instance.shape
    var command = instance.command(
      node: node, program: ["python3", "-m", "sglang.launch_server"])
    environment(shape, &command)
    command.add("--model-path", request.model ?? plan.model.name)
    if request.trustsRemoteCode { command.add("--trust-remote-code") }
    command.add("--host", "0.0.0.0")
    command.add("--port", SGLangExporter.port(instance))
    command.add("--nnodes", shape.nodes)
    command.add("--node-rank", node)
    command.add("--dist-init-addr", "\(instance.hosts[0]):\(20_000 + 500 * instance.device)")
    engine(shape, &command)
    if plan.pools.count > 1 {
      command.add("--disaggregation-mode", shape.role.rawValue)
      command.add("--disaggregation-transfer-backend", request.transfer.rawValue)
      if shape.role == .prefill {
        command.add("--disaggregation-bootstrap-port", SGLangExporter.bootstrapPort(instance))
      }
    }
    return command
  }

  static func port(_ instance: EngineInstance) -> Int { 30_000 + 10 * instance.device }
  static func bootstrapPort(_ instance: EngineInstance) -> Int { 8_998 + instance.device }

  private func environment(_ shape: PoolShape, _ command: inout LaunchCommand) {
    if Self.buffers(shape) {
      command.set(
        "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK",
        String(LowLatencyBuffer(shape, for: .sglang).tokens))
    }
    if shape.pp > 1 {
      command.set(
        "SGLANG_PP_LAYER_PARTITION", shape.stageLayers.map(String.init).joined(separator: ","))
    }
  }

  /// The flags that say what an instance is, the same on all nodes.
  private func engine(_ shape: PoolShape, _ command: inout LaunchCommand) {
    command.add("--dtype", Self.dtype(shape))
    // SGLang's tensor-parallel size is that of a stage; attention groups divide it.
    command.add("--tp-size", shape.stageRanks)
    if shape.pp > 1 { command.add("--pp-size", shape.pp) }
    if shape.dp > 1 {
      command.add("--attn-dp-size", shape.dp)
      command.add("--enable-dp-lm-head")
      if shape.denseLayers > 0 { command.add("--moe-dense-tp-size", 1) }
    }
    if shape.experts > 0 { experts(shape, &command) }
    load(shape, &command)
    if shape.drafts > 0 {
      command.add("--speculative-algorithm", "NEXTN")
      command.add("--speculative-num-steps", shape.drafts)
      command.add("--speculative-eagle-topk", 1)
      command.add("--speculative-num-draft-tokens", shape.drafts + 1)
    }
  }

  private func experts(_ shape: PoolShape, _ command: inout LaunchCommand) {
    command.add("--ep-size", shape.ep)
    if usesDeepEP(shape) {
      command.add("--moe-a2a-backend", "deepep")
      switch shape.role {
      case .prefill: command.add("--deepep-mode", "normal")
      case .decode: command.add("--deepep-mode", "low_latency")
      case .unified: command.add("--deepep-mode", "auto")
      }
      if shape.overlaps(request) { command.add("--enable-two-batch-overlap") }
    }
    guard hasLocations(shape) else { return }
    if shape.redundant > 0 {
      command.add("--ep-num-redundant-experts", shape.redundant)
      command.add("--enable-eplb")
    }
    command.add("--init-expert-location", SGLangExporter.locationFile(shape))
    // A replica may be picked per rank only where each token is sent to one.
    command.add("--ep-dispatch-algorithm", usesDeepEP(shape) ? "static" : "dynamic")
  }

  /// Whether tokens are dispatched by DeepEP, which takes the expert ranks to be all of a stage.
  private func usesDeepEP(_ shape: PoolShape) -> Bool {
    shape.exchangesTokens && shape.holdsWholeExperts
      && LowLatencyBuffer.hiddenSizes.contains(shape.hidden)
  }

  private func load(_ shape: PoolShape, _ command: inout LaunchCommand) {
    // Both counts are of an instance; SGLang divides them by the attention groups.
    command.add("--max-running-requests", shape.sequences * shape.dp)
    if shape.role != .decode {
      command.add("--chunked-prefill-size", shape.tokens * shape.dp)
      command.add("--max-prefill-tokens", shape.tokens)
    }
    if shape.role != .prefill { command.add("--cuda-graph-max-bs-decode", shape.sequences) }
    command.add("--mem-fraction-static", Self.staticFraction(shape))
  }

  /// Whether DeepEP keeps its low-latency buffer.
  private static func buffers(_ shape: PoolShape) -> Bool {
    shape.usesLowLatency && LowLatencyBuffer.hiddenSizes.contains(shape.hidden)
  }

  /// The part of a device for weights and caches: what the plan's activations and exchange buffers,
  /// or DeepEP's, leave of the usable memory.
  static func staticFraction(_ shape: PoolShape) -> String {
    let exchange = max(
      shape.memory.communication,
      shape.usesLowLatency ? LowLatencyBuffer(shape, for: .sglang).bytes : 0)
    let left = shape.usableBytes - shape.memory.activations - exchange
    let percent = Int(Double(max(left, 0)) / Double(max(shape.deviceBytes, 1)) * 100)
    return twoPlaces(min(max(percent, 1), 99))
  }

  /// Hundredths as a fraction: `0.07`.
  static func twoPlaces(_ percent: Int) -> String { "0.\(percent < 10 ? "0" : "")\(percent)" }

  static func dtype(_ shape: PoolShape) -> String {
    switch shape.activations {
    case "fp16": return "float16"
    case "fp32": return "float32"
    default: return "bfloat16"
    }
  }

  // MARK: Router

  /// The router over all instances; nil where there is one that does everything.
  private func router(_ instances: [EngineInstance]) -> LaunchCommand? {
    RouterCommand(
      program: ["python3", "-m", "sglang_router.launch_router"],
      summary: "the router, on any host", disaggregation: "--pd-disaggregation"
    ).command(
      over: instances.map { instance in
        let role = instance.shape.role
        return RouterCommand.Worker(
          role: role, url: "http://\(instance.hosts[0]):\(SGLangExporter.port(instance))",
          bootstrapPort: role == .prefill ? SGLangExporter.bootstrapPort(instance) : nil)
      })
  }

  // MARK: What cannot be said

  func remark(_ shape: PoolShape, _ bundle: inout ExportBundle) {
    let role = shape.role.rawValue
    if shape.dp > 1 && shape.tp > 1 && shape.denseLayers > 0 {
      bundle.remarks.append(
        ExportBundle.Remark(
          "dense layers",
          "\(role): the plan splits dense feed-forwards over the \(shape.tp) tensor ranks of a data "
            + "group; SGLang does so over all \(shape.stageRanks) of a stage or holds them whole, which "
            + "is written and takes more memory"))
    }
    if shape.exchangesTokens && !usesDeepEP(shape) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "all-to-all",
          "\(role): the plan dispatches tokens to experts; SGLang gathers all tokens on all ranks "
            + "instead where "
            + (shape.holdsWholeExperts
              ? "DeepEP is not built for hidden size \(shape.hidden)" : "experts are split")))
    }
    if shape.redundant > 0 {
      bundle.remarks.append(
        ExportBundle.Remark(
          "replicas",
          "\(role): the plan fixes where experts are; with '--enable-eplb' SGLang starts so and moves "
            + "them as loads change"))
    }
    if shape.drafts > 0 && shape.experts > 0 && hasLocations(shape) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "draft experts", "\(role): where the experts of MTP depths are is SGLang's choice"))
    }
    if usesDeepEP(shape), let remark = shape.overlapRemark(request, engine: "SGLang") {
      bundle.remarks.append(remark)
    }
    if shape.overlaps(request) && !usesDeepEP(shape) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "overlap", "\(role): two-batch overlap needs experts that are dispatched by DeepEP"))
    }
  }
}
