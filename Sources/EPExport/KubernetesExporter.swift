internal import EPIR
internal import EPModel
internal import EPPlan

/// Writes manifests: one pool is a `LeaderWorkerSet`, prefill and decode are the roles of a
/// `DisaggregatedSet`, both of kubernetes-sigs/lws, as llm-d deploys them.
struct KubernetesExporter {
  let plan: Plan
  let request: ExportRequest
  /// What runs in the pods: vLLM or SGLang.
  let engine: Engine

  /// Where the expert locations are mounted.
  private static let folder = "/etc/epc"
  /// The most bytes of a ConfigMap.
  private static let mostConfigBytes = 1 << 20
  /// What LWS sets in every container of a group.
  private static let leader = "$(LWS_LEADER_ADDRESS)"
  private static let index = "$(LWS_WORKER_INDEX)"

  func export() throws(Diagnostics) -> ExportBundle {
    var bundle = ExportBundle(
      .kubernetes,
      version: "\(engine.title) \(engine.version), LeaderWorkerSet leaderworkerset.x-k8s.io/v1, "
        + "DisaggregatedSet disaggregatedset.x-k8s.io/v1", model: plan.model.name)
    let shapes = plan.shapes
    var documents: [Document] = []
    var roles: [(name: String, spec: Document)] = []
    for shape in shapes {
      let commands = try self.commands(shape)
      bundle.commands += commands
      roles.append((shape.role.rawValue, groupSpec(shape, commands)))
    }
    if let map = try configMap(shapes) { documents.append(map) }
    documents.append(roles.count > 1 ? disaggregatedSet(roles) : leaderWorkerSet(roles[0]))
    if engine == .sglang {
      let router = self.router(shapes)
      bundle.commands.append(router)
      documents += routerManifests(router)
    }
    var manifests: [String] = []
    for document in documents {
      let kind = document.text(of: "kind")
      manifests.append(
        try ExportBundle.yaml(document, .kubernetes(kind), in: "manifest.yaml, \(kind)"))
    }
    bundle.files.append(
      ExportBundle.File(
        "manifest.yaml",
        "# \(plan.model.name), \(bundle.version)\n" + manifests.joined(separator: "---\n")))
    bundle.remark(on: plan, request, shapes: shapes)
    for shape in shapes {
      if engine == .sglang {
        SGLangExporter(plan: plan, request: request).remark(shape, &bundle)
      } else {
        VLLMExporter(plan: plan, request: request).remark(shape, &bundle)
      }
    }
    remark(&bundle)
    return bundle
  }

  /// The name of everything, as Kubernetes has names.
  private var name: String {
    var name = ""
    for byte in plan.model.name.lowercased().utf8 {
      let isPlain =
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      if isPlain {
        name.append(Character(Unicode.Scalar(byte)))
      } else if !name.hasSuffix("-") && !name.isEmpty {
        name += "-"
      }
    }
    while name.hasSuffix("-") { name.removeLast() }
    if name.first.map({ !$0.isLetter }) ?? true { name = "epc-" + name }
    return String(name.prefix(40))
  }

  private var image: String {
    if let image = request.image { return image }
    return engine == .sglang
      ? "lmsysorg/sglang:v\(engine.version)" : "vllm/vllm-openai:v\(engine.version)"
  }

  private func labels(_ role: String?) -> Document {
    .object([
      "app.kubernetes.io/name": .text(name),
      "llm-d.ai/inference-serving": .text("true"), "llm-d.ai/role": role.map(Document.text),
    ])
  }

  // MARK: Commands

  /// The command of a group's leader and, where there are any, of its workers.
  private func commands(_ whole: PoolShape) throws(Diagnostics) -> [LaunchCommand] {
    var shape = whole
    // A pod has its own devices and address.
    (shape.firstRank, shape.instances) = (0, 1)
    let instance = EngineInstance(
      shape, hosts: Array(repeating: KubernetesExporter.leader, count: shape.nodes))
    var commands: [LaunchCommand] = []
    for node in 0..<min(shape.nodes, 2) {
      var command =
        engine == .sglang
        ? SGLangExporter(plan: plan, request: request).command(instance, node: node)
        : VLLMExporter(plan: plan, request: request, usesNodeRanks: true)
          .command(instance, node: node)
      let problems = engine.schema.problems(of: command)
      if !problems.isEmpty {
        throw Diagnostics(problems.map { Diagnostic("export-flag", "\(command.name): \($0)") })
      }
      command.name = "\(whole.role.rawValue)-\(node == 0 ? "leader" : "worker")"
      command.host = ""
      command.summary = "\(whole.role.rawValue), \(node == 0 ? "leader" : "workers") of each group"
      command.environment.removeAll { $0.name == "CUDA_VISIBLE_DEVICES" }
      for position in command.arguments.indices {
        let flag = command.arguments[position].flag
        if flag == "--node-rank" && node > 0 {
          command.arguments[position].values = [KubernetesExporter.index]
        }
        if flag == "--init-expert-location" {
          command.arguments[position].values = command.arguments[position].values.map {
            KubernetesExporter.folder + "/" + $0
          }
        }
      }
      commands.append(command)
    }
    return commands
  }

  private func router(_ shapes: [PoolShape]) -> LaunchCommand {
    var command = LaunchCommand(
      name: "router", summary: "the router", host: "",
      program: ["python3", "-m", "sglang_router.launch_router"])
    command.add("--host", "0.0.0.0")
    command.add("--port", 8000)
    command.add("--policy", "cache_aware")
    command.add("--service-discovery")
    command.add("--service-discovery-port", 30_000)
    func selector(_ role: Pool.Role) -> [String] {
      // Only the leader of a group serves requests.
      [
        "app.kubernetes.io/name=\(name)", "llm-d.ai/role=\(role.rawValue)",
        "leaderworkerset.sigs.k8s.io/worker-index=0",
      ]
    }
    if shapes.count > 1 { command.add("--pd-disaggregation") }
    for shape in shapes {
      let flag: String
      switch shape.role {
      case .prefill where shapes.count > 1: flag = "--prefill-selector"
      case .decode where shapes.count > 1: flag = "--decode-selector"
      default: flag = "--selector"
      }
      command.arguments.append(LaunchCommand.Argument(flag: flag, values: selector(shape.role)))
    }
    return command
  }

  // MARK: Groups of pods

  private func leaderWorkerSet(_ role: (name: String, spec: Document)) -> Document {
    .object([
      "apiVersion": .text("leaderworkerset.x-k8s.io/v1"), "kind": .text("LeaderWorkerSet"),
      "metadata": .object(["name": .text(name), "labels": labels(role.name)]), "spec": role.spec,
    ])
  }

  private func disaggregatedSet(_ roles: [(name: String, spec: Document)]) -> Document {
    .object([
      "apiVersion": .text("disaggregatedset.x-k8s.io/v1"), "kind": .text("DisaggregatedSet"),
      "metadata": .object(["name": .text(name), "labels": labels(nil)]),
      "spec": .object([
        "slices": .int(1),
        "roles": .list(
          roles.map { role in
            .object([
              "name": .text(role.name), "metadata": .object(["labels": labels(role.name)]),
              "spec": role.spec,
            ])
          }),
      ]),
    ])
  }

  private func groupSpec(_ shape: PoolShape, _ commands: [LaunchCommand]) -> Document {
    let leader = pod(shape, commands[0], isLeader: true)
    return .object([
      "replicas": .int(shape.instances),
      "leaderWorkerTemplate": .object([
        "size": .int(shape.nodes), "restartPolicy": .text("RecreateGroupOnPodRestart"),
        "leaderTemplate": commands.count > 1 ? leader : nil,
        "workerTemplate": commands.count > 1
          ? pod(shape, commands[1], isLeader: false) : leader,
      ]),
    ])
  }

  private func pod(_ shape: PoolShape, _ command: LaunchCommand, isLeader: Bool) -> Document {
    let devices = Document.text(String(min(shape.ranks, shape.devicesPerNode)))
    let port = Int(command.values(of: "--port")?.first ?? "")
    let mounts = volumes(shape)
    let bootstrap = command.values(of: "--disaggregation-bootstrap-port")?.first
    let container = Document.object([
      "name": .text(engine.rawValue), "image": .text(image),
      "command": .texts(command.program),
      "args": .texts(Array(command.words.dropFirst(command.program.count))),
      "env": command.environment.isEmpty ? nil : .list(command.environment.map(variable)),
      "ports": isLeader
        ? port.map { .list([.object(["containerPort": .int($0), "name": .text("http")])]) } : nil,
      "readinessProbe": isLeader
        ? .object([
          "httpGet": .object(["path": .text("/health"), "port": .text("http")]),
          "periodSeconds": .int(10), "failureThreshold": .int(360),
        ]) : nil,
      "resources": .object([
        "limits": .object(["nvidia.com/gpu": devices]),
        "requests": .object(["nvidia.com/gpu": devices]),
      ]),
      "securityContext": .object([
        "capabilities": .object(["add": .texts(["IPC_LOCK"])])
      ]),
      "volumeMounts": .list(
        mounts.map { .object(["name": .text($0.name), "mountPath": .text($0.path)]) }),
    ])
    return .object([
      "metadata": .object([
        "labels": labels(shape.role.rawValue),
        "annotations": isLeader
          ? bootstrap.map { .object(["sglang.ai/bootstrap-port": .text($0)]) } : nil,
      ]),
      "spec": .object([
        "containers": .list([container]),
        "volumes": .list(
          mounts.map { mount in
            .object(
              [Document.Field(name: "name", value: .text(mount.name))]
                + [Document.Field(name: mount.kind, value: mount.source)])
          }),
      ]),
    ])
  }

  private func variable(_ variable: LaunchCommand.Variable) -> Document {
    // The address that peers fetch caches from is the pod's own.
    if variable.value == KubernetesExporter.leader {
      return .object([
        "name": .text(variable.name),
        "valueFrom": .object([
          "fieldRef": .object(["fieldPath": .text("status.podIP")])
        ]),
      ])
    }
    return .object(["name": .text(variable.name), "value": .text(variable.value)])
  }

  private struct Volume {
    var name: String
    var path: String
    var kind: String
    var source: Document
  }

  private func volumes(_ shape: PoolShape) -> [Volume] {
    var volumes = [
      Volume(
        name: "dshm", path: "/dev/shm", kind: "emptyDir",
        source: .object(["medium": .text("Memory"), "sizeLimit": .text("64Gi")]))
    ]
    if hasLocations(shape) {
      volumes.append(
        Volume(
          name: "expert-locations", path: KubernetesExporter.folder, kind: "configMap",
          source: .object(["name": .text(name + "-expert-locations")])))
    }
    if let model = request.model, model.hasPrefix("/") {
      volumes.append(
        Volume(
          name: "model", path: model, kind: "hostPath",
          source: .object(["path": .text(model), "type": .text("Directory")])))
    }
    return volumes
  }

  private func hasLocations(_ shape: PoolShape) -> Bool {
    engine == .sglang && SGLangExporter(plan: plan, request: request).hasLocations(shape)
  }

  private func configMap(_ shapes: [PoolShape]) throws(Diagnostics) -> Document? {
    var fields: [Document.Field] = []
    for shape in shapes where hasLocations(shape) {
      let text = try ExpertLocations(plan.pools[shape.index]).sglang()
      fields.append(
        Document.Field(name: SGLangExporter.locationFile(shape), value: .text(text)))
    }
    if fields.isEmpty { return nil }
    let bytes = fields.reduce(0) { sum, field in
      if case .text(let text) = field.value { return sum + text.utf8.count }
      return sum
    }
    if bytes > KubernetesExporter.mostConfigBytes {
      throw Diagnostics(
        "export-size",
        "expert locations of \(bytes) bytes, and a ConfigMap holds "
          + "\(KubernetesExporter.mostConfigBytes); export to sglang and mount the file yourself")
    }
    return .object([
      "apiVersion": .text("v1"), "kind": .text("ConfigMap"),
      "metadata": .object(["name": .text(name + "-expert-locations")]), "data": .object(fields),
    ])
  }

  // MARK: Router

  /// The router with what it needs to see pods.
  private func routerManifests(_ command: LaunchCommand) -> [Document] {
    let router = name + "-router"
    let meta = Document.object(["name": .text(router)])
    let match = Document.object(["app.kubernetes.io/name": .text(router)])
    let reader = Document.object([
      "apiVersion": .text("rbac.authorization.k8s.io/v1"), "kind": .text("Role"), "metadata": meta,
      "rules": .list([
        .object([
          "apiGroups": .texts([""]), "resources": .texts(["pods"]),
          "verbs": .texts(["get", "list", "watch"]),
        ])
      ]),
    ])
    let binding = Document.object([
      "apiVersion": .text("rbac.authorization.k8s.io/v1"), "kind": .text("RoleBinding"),
      "metadata": meta,
      "roleRef": .object([
        "apiGroup": .text("rbac.authorization.k8s.io"), "kind": .text("Role"),
        "name": .text(router),
      ]),
      "subjects": .list([.object(["kind": .text("ServiceAccount"), "name": .text(router)])]),
    ])
    let deployment = Document.object([
      "apiVersion": .text("apps/v1"), "kind": .text("Deployment"), "metadata": meta,
      "spec": .object([
        "replicas": .int(1), "selector": .object(["matchLabels": match]),
        "template": .object([
          "metadata": .object(["labels": match]),
          "spec": .object([
            "serviceAccountName": .text(router),
            "containers": .list([
              .object([
                "name": .text("router"), "image": .text(image),
                "command": .texts(command.program),
                "args": .texts(Array(command.words.dropFirst(command.program.count))),
                "ports": .list([
                  .object(["containerPort": .int(8000), "name": .text("http")])
                ]),
              ])
            ]),
          ]),
        ]),
      ]),
    ])
    let service = Document.object([
      "apiVersion": .text("v1"), "kind": .text("Service"), "metadata": meta,
      "spec": .object([
        "selector": match,
        "ports": .list([.object(["port": .int(80), "targetPort": .text("http")])]),
      ]),
    ])
    let account = Document.object([
      "apiVersion": .text("v1"), "kind": .text("ServiceAccount"), "metadata": meta,
    ])
    return [account, reader, binding, deployment, service]
  }

  private func remark(_ bundle: inout ExportBundle) {
    bundle.remarks.append(
      ExportBundle.Remark(
        "cluster",
        "node selectors, network devices, storage and secrets are the cluster's; the manifests ask "
          + "for GPUs and shared memory alone"))
    if engine == .vllm {
      bundle.remarks.append(
        ExportBundle.Remark(
          "router",
          "vLLM's pods carry llm-d's labels; its InferencePool, endpoint picker and, beside decode, "
            + "routing sidecar are installed with llm-d"))
    }
  }
}

extension Document {
  /// The text of a key; empty where there is none.
  fileprivate func text(of key: String) -> String {
    guard case .object(let fields) = self,
      case .text(let text)? = fields.first(where: { $0.name == key })?.value
    else { return "" }
    return text
  }
}
