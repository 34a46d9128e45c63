internal import EPIR
internal import EPModel
internal import EPPlan

/// Writes launches and YAML files for TensorRT-LLM's PyTorch backend. Keys are fields of `TorchLlmArgs`
/// of the version that is written for, and of the `disaggregated` server's file.
struct TensorRTLLMExporter {
  let plan: Plan
  let request: ExportRequest

  func export() throws(Diagnostics) -> ExportBundle {
    var bundle = ExportBundle(
      .trtllm, version: "TensorRT-LLM \(Engine.trtllm.version)", model: plan.model.name)
    let shapes = plan.shapes
    var urls: [Pool.Role: [String]] = [:]
    for shape in shapes {
      bundle.files += try files(shape)
      for instance in try EngineInstance.all(shape, request) {
        let command = command(instance)
        bundle.commands.append(command)
        urls[shape.role, default: []].append(
          "\(instance.hosts[0]):\(TensorRTLLMExporter.port(instance))")
      }
    }
    if let prefill = urls[.prefill], let decode = urls[.decode] {
      let name = "disaggregated.yaml"
      let file = try ExportBundle.yaml(
        router(prefill: prefill, decode: decode), .tensorRTLLMRouter, in: name)
      bundle.files.append(ExportBundle.File(name, file))
      var command = LaunchCommand(
        name: "router", summary: "the router, on any host", host: "",
        program: ["trtllm-serve", "disaggregated"])
      command.add("--config", "disaggregated.yaml")
      bundle.commands.append(command)
    }
    bundle.remark(on: plan, request, shapes: shapes)
    for shape in shapes { remark(shape, &bundle) }
    try bundle.requireFlags { _ in .tensorRTLLM }
    return bundle
  }

  static func port(_ instance: EngineInstance) -> Int { 8_300 + 10 * instance.device }

  /// One launch starts all ranks of an instance.
  private func command(_ instance: EngineInstance) -> LaunchCommand {
    let shape = instance.shape
    let each = min(shape.ranks, shape.devicesPerNode)
    let hosts = instance.hosts.map { "\($0):\(each)" }.joined(separator: ",")
    var command = instance.command(
      node: 0,
      program: [
        "mpirun", "-n", String(shape.ranks), "--host", hosts, "trtllm-llmapi-launch",
        "trtllm-serve", request.model ?? plan.model.name,
      ])
    command.name = "\(shape.role.rawValue)-\(instance.number)"
    command.add("--host", "0.0.0.0")
    command.add("--port", TensorRTLLMExporter.port(instance))
    if request.trustsRemoteCode { command.add("--trust_remote_code") }
    command.add("--config", "\(shape.role.rawValue).yaml")
    return command
  }

  private func files(_ shape: PoolShape) throws(Diagnostics) -> [ExportBundle.File] {
    var files: [ExportBundle.File] = []
    if isPlaced(shape) {
      let locations = ExpertLocations(plan.pools[shape.index])
      files.append(
        ExportBundle.File(balancerFile(shape), try locations.tensorRTLLM()))
    }
    let name = "\(shape.role.rawValue).yaml"
    files.append(
      ExportBundle.File(name, try ExportBundle.yaml(arguments(shape), .tensorRTLLM, in: name)))
    return files
  }

  private func isPlaced(_ shape: PoolShape) -> Bool {
    shape.experts > 0 && shape.exchangesTokens && shape.holdsWholeExperts
      && (shape.redundant > 0 || !ExpertLocations(plan.pools[shape.index]).areInOrder)
  }

  private func balancerFile(_ shape: PoolShape) -> String {
    "load-balancer-\(shape.role.rawValue).yaml"
  }

  /// What stands in an instance's file.
  private func arguments(_ shape: PoolShape) -> Document {
    // Attention data-parallel is a switch: its groups are then single ranks of the tensor group.
    let isDataParallel = shape.dp > 1
    var moe: Document?
    if isPlaced(shape) {
      moe = .object([
        "backend": .text("WIDEEP"), "load_balancer": .text(balancerFile(shape)),
      ])
    }
    let tokens = shape.role == .decode ? VLLMExporter.batchedTokens(shape) : shape.tokens
    return .object([
      "dtype": .text(SGLangExporter.dtype(shape)),
      "tensor_parallel_size": .int(shape.stageRanks),
      "pipeline_parallel_size": .int(shape.pp),
      "moe_expert_parallel_size": shape.experts > 0 ? .int(shape.ep) : nil,
      "gpus_per_node": .int(min(shape.ranks, shape.devicesPerNode)),
      "enable_attention_dp": .flag(isDataParallel),
      "max_batch_size": .int(shape.sequences),
      "max_num_tokens": .int(max(tokens, shape.sequences)),
      "enable_chunked_prefill": shape.role == .decode ? nil : .flag(true),
      // A context server hands a sequence over after its first token: nothing is left to overlap.
      "disable_overlap_scheduler": shape.role == .prefill ? .flag(true) : nil,
      "cuda_graph_config": shape.role == .prefill
        ? nil
        : .object([
          "enable_padding": .flag(true), "max_batch_size": .int(shape.sequences),
        ]),
      "kv_cache_config": .object([
        "free_gpu_memory_fraction": .real(freeFraction(shape)),
        "enable_block_reuse": plan.pools.count > 1 ? .flag(false) : nil,
      ]),
      "moe_config": moe,
      "speculative_config": shape.drafts > 0
        ? .object([
          "decoding_type": .text("MTP"), "num_nextn_predict_layers": .int(shape.drafts),
        ]) : nil,
      "cache_transceiver_config": plan.pools.count > 1
        ? .object([
          "backend": .text(request.transfer.rawValue.uppercased()),
          "max_tokens_in_buffer": .int(max(plan.pools.map(\.load.context).max() ?? 0, 1)),
        ]) : nil,
    ])
  }

  /// The part of what weights leave free that caches may take, in hundredths.
  private func freeFraction(_ shape: PoolShape) -> Double {
    let weights = shape.memory.denseWeights + shape.memory.expertWeights
    let free = max(shape.deviceBytes - weights, 1)
    let kept = max(
      shape.usableBytes - weights - shape.memory.activations - shape.memory.communication, 0)
    let percent = Int(Double(kept) / Double(free) * 100)
    return Double(min(max(percent, 1), 95)) / 100
  }

  private func router(prefill: [String], decode: [String]) -> Document {
    .object([
      "hostname": .text("0.0.0.0"), "port": .int(8000), "backend": .text("pytorch"),
      "context_servers": .object([
        "num_instances": .int(prefill.count), "urls": .texts(prefill),
      ]),
      "generation_servers": .object([
        "num_instances": .int(decode.count), "urls": .texts(decode),
      ]),
    ])
  }

  // MARK: What cannot be said

  private func remark(_ shape: PoolShape, _ bundle: inout ExportBundle) {
    let role = shape.role.rawValue
    bundle.remarks.append(
      ExportBundle.Remark(
        "flags",
        "\(role): keys and values are those of TensorRT-LLM's sources, which each export is checked "
          + "against; they have not been run through its own validation"))
    if shape.redundant > 0 && !isPlaced(shape) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "replicas", "\(role): redundant experts need whole experts on more than one rank"))
    }
    if shape.exchangesTokens {
      bundle.remarks.append(
        ExportBundle.Remark(
          "all-to-all",
          "\(role): TensorRT-LLM chooses how tokens are exchanged by hardware and environment"))
    }
    if shape.overlaps(request) {
      bundle.remarks.append(
        ExportBundle.Remark(
          "overlap", "\(role): TensorRT-LLM overlaps no two micro-batches of one step"))
    }
  }
}
