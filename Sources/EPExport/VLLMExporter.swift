internal import EPIR
internal import EPModel
internal import EPPlan

/// Writes launch commands for vLLM. What its flags mean and refuse is in `vllm.config` and
/// `vllm.engine.arg_utils` of the version that is written for.
struct VLLMExporter {
  let plan: Plan
  let request: ExportRequest
  /// Whether nodes tell vLLM their number, rather than which data groups they run.
  var usesNodeRanks = false

  func export() throws(Diagnostics) -> ExportBundle {
    var bundle = ExportBundle(
      .vllm, version: "vLLM \(Engine.vllm.version)", model: plan.model.name)
    let shapes = plan.shapes
    var instances: [EngineInstance] = []
    for shape in shapes {
      for instance in try EngineInstance.all(shape, request) {
        instances.append(instance)
        for node in 0..<shape.nodes { bundle.commands.append(command(instance, node: node)) }
      }
    }
    if let router = router(instances) { bundle.commands.append(router) }
    bundle.remark(on: plan, request, shapes: shapes)
    for shape in shapes { remark(shape, &bundle) }
    if instances.count > 1 {
      bundle.remarks.append(
        ExportBundle.Remark(
          "router",
          "it is a package of its own, vllm-router \(FlagSchema.vllmRouterVersion); 'epc export --to "
            + "kubernetes --engine vllm' labels pods for llm-d's instead"))
    }
    try bundle.requireFlags { $0.name == "router" ? .vllmRouter : .vllm }
    return bundle
  }

  /// The router over all instances; nil where there is one that does everything.
  private func router(_ instances: [EngineInstance]) -> LaunchCommand? {
    let isMooncake = request.transfer == .mooncake
    var router = RouterCommand(
      program: ["vllm-router"],
      summary: "the router, on any host: vllm-router \(FlagSchema.vllmRouterVersion)",
      disaggregation: "--vllm-pd-disaggregation"
    ).command(
      over: instances.map { instance in
        let role = instance.shape.role
        return RouterCommand.Worker(
          role: role, url: "http://\(instance.hosts[0]):\(VLLMExporter.port(instance))",
          bootstrapPort: role == .prefill && isMooncake
            ? VLLMExporter.bootstrapPort(instance) : nil)
      })
    if plan.pools.count > 1 { router?.add("--kv-connector", request.transfer.rawValue) }
    return router
  }

  /// The command of one node.
  func command(_ instance: EngineInstance, node: Int) -> LaunchCommand {
    let shape = instance.shape
    var command = instance.command(node: node, program: ["vllm", "serve"])
    environment(instance, node: node, &command)
    command.add("", request.model ?? plan.model.name)
    if request.trustsRemoteCode { command.add("--trust-remote-code") }
    if node == 0 {
      command.add("--host", "0.0.0.0")
      command.add("--port", VLLMExporter.port(instance))
    } else {
      command.add("--headless")
    }
    layout(instance, node: node, &command)
    engine(shape, &command)
    return command
  }

  static func port(_ instance: EngineInstance) -> Int { 8_200 + 10 * instance.device }

  static func bootstrapPort(_ instance: EngineInstance) -> Int { 8_998 + 100 * instance.device }

  /// Data groups of a node, where groups do not cross nodes.
  static func groupsPerNode(_ shape: PoolShape) -> Int {
    shape.nodes == 1 ? shape.dp : shape.devicesPerNode / (shape.pp * shape.tp)
  }

  private func environment(
    _ instance: EngineInstance, node: Int, _ command: inout LaunchCommand
  ) {
    let shape = instance.shape
    if plan.pools.count > 1 && request.transfer == .nixl {
      command.set("VLLM_NIXL_SIDE_CHANNEL_HOST", instance.hosts[node])
      command.set("VLLM_NIXL_SIDE_CHANNEL_PORT", String(5_600 + 100 * instance.device))
    }
    if plan.pools.count > 1 && request.transfer == .mooncake && shape.role == .prefill {
      command.set("VLLM_MOONCAKE_BOOTSTRAP_PORT", String(VLLMExporter.bootstrapPort(instance)))
    }
    if shape.pp > 1 {
      command.set(
        "VLLM_PP_LAYER_PARTITION", shape.stageLayers.map(String.init).joined(separator: ","))
    }
  }

  /// The flags that say which part of an instance runs here.
  private func layout(
    _ instance: EngineInstance, node: Int, _ command: inout LaunchCommand
  ) {
    let shape = instance.shape
    command.add("--tensor-parallel-size", shape.tp)
    if shape.pp > 1 { command.add("--pipeline-parallel-size", shape.pp) }
    if shape.dp > 1 { command.add("--data-parallel-size", shape.dp) }
    if shape.dp > 1 {
      command.add("--data-parallel-address", instance.hosts[0])
      command.add("--data-parallel-rpc-port", 13_345 + 10 * instance.device)
    }
    let groups = VLLMExporter.groupsPerNode(shape)
    if shape.nodes > 1 && (groups == 0 || usesNodeRanks) {
      // Where a data group crosses nodes, its processes find each other by node rank.
      command.add("--nnodes", shape.nodes)
      command.add("--node-rank", node)
      command.add("--master-addr", instance.hosts[0])
      command.add("--master-port", 29_501)
    } else if shape.dp > 1 {
      command.add("--data-parallel-size-local", groups)
      if node > 0 { command.add("--data-parallel-start-rank", node * groups) }
    }
    // Left alone there would be a server process for each data group of the instance, all on this node.
    if node == 0 && shape.dp > 1 { command.add("--api-server-count", max(groups, 1)) }
  }

  /// The flags that say what an instance is, the same on all nodes.
  private func engine(_ shape: PoolShape, _ command: inout LaunchCommand) {
    command.add("--dtype", SGLangExporter.dtype(shape))
    if shape.experts > 0 && shape.ep > 1 {
      command.add("--enable-expert-parallel")
      if dispatches(shape) {
        command.add("--all2all-backend", backend(shape))
        if shape.overlaps(request) { command.add("--enable-dbo") }
      }
      if shape.redundant > 0 {
        command.add("--enable-eplb")
        command.add(
          "--eplb-config", json: .object(["num_redundant_experts": .int(shape.redundant)]))
      }
    }
    command.add("--max-num-seqs", shape.sequences)
    // A step has room for every sequence's tokens; this also sizes DeepEP's buffers.
    command.add("--max-num-batched-tokens", VLLMExporter.batchedTokens(shape))
    command.add("--gpu-memory-utilization", utilization(shape))
    if shape.drafts > 0 {
      command.add(
        "--speculative-config",
        json: .object(["method": .text("mtp"), "num_speculative_tokens": .int(shape.drafts)]))
    }
    if plan.pools.count > 1 {
      let connector = request.transfer == .nixl ? "NixlConnector" : "MooncakeConnector"
      command.add(
        "--kv-transfer-config",
        json: .object([
          "kv_connector": .text(connector),
          "kv_role": .text(
            request.transfer == .nixl
              ? "kv_both" : shape.role == .prefill ? "kv_producer" : "kv_consumer"),
          "kv_load_failure_policy": .text("fail"),
        ]))
    }
  }

  /// Whether there is an All-to-All: vLLM has one between data groups alone.
  private func dispatches(_ shape: PoolShape) -> Bool {
    shape.exchangesTokens && shape.holdsWholeExperts && shape.dp > 1
  }

  private func backend(_ shape: PoolShape) -> String {
    if shape.algorithm == "all_gather" { return "allgather_reducescatter" }
    return shape.algorithm == "low_latency" && LowLatencyBuffer.hiddenSizes.contains(shape.hidden)
      ? "deepep_low_latency" : "deepep_high_throughput"
  }

  /// Tokens of a step and data group, at least one for each sequence and draft.
  static func batchedTokens(_ shape: PoolShape) -> Int {
    let decode = shape.sequences.saturatingProduct(1 + shape.drafts)
    return shape.role == .decode ? LowLatencyBuffer.rounded(decode) : max(shape.tokens, decode)
  }

  /// The part of a device that vLLM may fill: the usable one without DeepEP's buffer, which it does
  /// not see when it measures.
  private func utilization(_ shape: PoolShape) -> String {
    let buffer =
      dispatches(shape) && backend(shape) == "deepep_low_latency"
      ? LowLatencyBuffer(shape, for: .vllm).bytes : 0
    let left = max(shape.usableBytes - buffer, 0)
    let percent = Int(Double(left) / Double(max(shape.deviceBytes, 1)) * 100)
    return SGLangExporter.twoPlaces(min(max(percent, 1), 99))
  }

  // MARK: What cannot be said

  func remark(_ shape: PoolShape, _ bundle: inout ExportBundle) {
    let role = shape.role.rawValue
    let locations = ExpertLocations(plan.pools[shape.index])
    if shape.experts > 0 && (shape.redundant > 0 || !locations.areInOrder) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "placement",
          "\(role): vLLM takes no initial places of experts; "
            + (shape.redundant > 0
              ? "it balances them itself, beginning with replicas in order"
              : "it holds them in order")))
    }
    if shape.exchangesTokens && shape.holdsWholeExperts && shape.dp == 1 {
      bundle.remarks.append(
        ExportBundle.Remark(
          "all-to-all",
          "\(role): with one data group vLLM has every rank see all tokens, and dispatches none"))
    }
    if dispatches(shape), let remark = shape.overlapRemark(request, engine: "vLLM") {
      bundle.remarks.append(remark)
    }
    if shape.overlaps(request) && !dispatches(shape) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "overlap", "\(role): dual-batch overlap needs an All-to-All between data groups"))
    }
    if shape.role == .unified && dispatches(shape) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "all-to-all",
          "\(role): vLLM takes one All-to-All for prompts and decoding alike; the one for prompts is "
            + "written"))
    }
  }
}
