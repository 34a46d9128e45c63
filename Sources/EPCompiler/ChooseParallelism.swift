internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

extension Compiler {
  /// Fixes the devices, and mesh and load of every pool.
  ///
  /// What is not asked for follows two rules that published deployments of large MoE models share
  /// (DeepSeek-V3 report, section 3.4): attention is data-parallel, experts are spread over all
  /// ranks; and tensor parallelism is used only as far as memory demands.
  @Sendable static func chooseParallelism(_ compilation: inout Compilation) throws(Diagnostics) {
    let request = compilation.request
    if request.context < 1 {
      throw Diagnostics("context", "'--context \(request.context)'; a context has at least 1 token")
    }
    if request.pools.isEmpty || request.pools.count > 2 {
      throw Diagnostics("pools", "a plan has one or two pools, not \(request.pools.count)")
    }
    var first = 0
    var needed = 0
    for (index, pool) in request.pools.enumerated() {
      let available = try compilation.devicesAvailable(to: pool, from: first, poolIndex: index)
      let chosen = try compilation.choosePool(pool, devices: available)
      if let problem = chosen.load.problem {
        throw Diagnostics(
          "load",
          "the \(chosen.role.rawValue) pool would hold \(problem); take a smaller '--batch', "
            + "'--tokens-per-gpu' or '--context'")
      }
      compilation.pools.append(chosen)
      compilation.pools[index].firstRank = first
      first += chosen.mesh.ranks
      needed = first
    }
    if request.cluster == nil {
      compilation.cluster = Cluster(request.defaultHardware, devices: needed)
      compilation.decisions.append(
        "cluster \(compilation.cluster.name), since none was given and the plan takes \(needed) devices"
      )
    } else if needed > compilation.cluster.devices {
      throw Diagnostics(
        "cluster-size",
        "the pools take \(needed) devices, \(compilation.cluster.name) has "
          + "\(compilation.cluster.devices); take a cluster of \(needed) or smaller sizes")
    } else if needed < compilation.cluster.devices {
      compilation.decisions.append(
        "\(compilation.cluster.devices - needed) of \(compilation.cluster.devices) devices stay idle"
      )
    }
  }
}

extension Compilation {
  /// Devices that a pool may take, or nil for as many as it needs.
  fileprivate func devicesAvailable(
    to pool: CompileRequest.PoolRequest, from first: Int, poolIndex: Int
  ) throws(Diagnostics) -> Int? {
    guard let cluster = request.cluster else { return nil }
    let rest = cluster.devices - first
    if rest <= 0 {
      throw Diagnostics(
        "cluster-size",
        "nothing of \(cluster.name) is left for the \(pool.role.rawValue) pool; "
          + "give the first pool fewer devices")
    }
    // Without sizes, two pools share the cluster evenly.
    let isLast = poolIndex == request.pools.count - 1
    let isSized = pool.dp != nil || pool.ep != nil
    return isLast || isSized ? rest : max(cluster.devices / request.pools.count, 1)
  }

  fileprivate mutating func choosePool(
    _ pool: CompileRequest.PoolRequest, devices: Int?
  ) throws(Diagnostics) -> Pool {
    for (name, value) in [
      ("pp", pool.pp), ("dp", pool.dp), ("tp", pool.tp), ("ep", pool.ep), ("batch", pool.batch),
      ("tokens-per-gpu", pool.tokensPerDevice), ("samples", pool.samples),
      ("group-sequences", pool.groupSequences), ("group-tokens", pool.groupTokens),
    ] {
      if let value, value < 1 || value > 1 << 20 {
        throw Diagnostics("size-flag", "'--\(name) \(value)'; it is between 1 and 2^20")
      }
    }
    var best: Pool?
    for mesh in candidates(pool, devices: devices) {
      if mesh.problem != nil { continue }
      let candidate = makePool(pool, mesh)
      best = best ?? candidate
      guard let bytes = roughBytes(candidate, redundant: pool.redundantExperts) else { continue }
      if bytes <= Int(Double(cluster.hardware.memoryBytes) * cluster.usableFraction) {
        explain(candidate, pool)
        return candidate
      }
    }
    // Nothing fits by the rough account, or nothing is possible: the exact one says which.
    guard let best else {
      let mesh = candidates(pool, devices: devices)[0]
      throw Diagnostics(
        "mesh", (mesh.problem ?? "no mesh is possible") + "; " + meshFix(mesh, pool))
    }
    explain(best, pool)
    return best
  }

  private var hasExperts: Bool {
    program.functions.contains { $0.operations.contains { $0.kind == .dispatch } }
  }

  /// Meshes to try, the preferred first.
  private func candidates(_ pool: CompileRequest.PoolRequest, devices: Int?) -> [Mesh] {
    let pp = pool.pp ?? 1
    let tensor = pool.tp.map { [$0] } ?? [1, 2, 4, 8, 16]
    let totals: [Int]
    if let devices {
      totals = [devices]
    } else if pool.ep != nil || pool.dp != nil {
      let stage = max(pool.ep ?? 1, (pool.dp ?? 1) * (pool.tp ?? 1))
      totals = [stage * pp]
    } else {
      totals = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].filter { $0 >= pp * (pool.tp ?? 1) }
    }
    var meshes: [Mesh] = []
    for total in totals {
      for tp in tensor {
        let dp = pool.dp ?? max(total / pp / tp, 1)
        let stage = dp * tp
        let ep = pool.ep ?? (hasExperts ? stage : 1)
        if tp > 1 && pool.tp == nil && (tp > total || stage * pp > total) { continue }
        meshes.append(Mesh(pp: pp, dp: dp, tp: tp, ep: ep))
      }
    }
    return meshes
  }

  private func meshFix(_ mesh: Mesh, _ pool: CompileRequest.PoolRequest) -> String {
    let stage = mesh.stageRanks
    let divisors = (1...max(stage, 1)).filter { stage % $0 == 0 }
    let nearest = divisors.min { abs($0 - mesh.ep) < abs($1 - mesh.ep) } ?? 1
    return "take '--ep \(nearest)', or '--dp \(max(mesh.ep / max(mesh.tp, 1), 1))'"
  }

  private func makePool(_ pool: CompileRequest.PoolRequest, _ mesh: Mesh) -> Pool {
    let group = mesh.tp * mesh.pp
    var load = pool.load(
      mesh, drafts: program.drafts.count, context: request.context, vocabulary: program.vocabulary)
    if let samples = pool.samples { load.samples = min(samples * group, load.tokens) }
    return Pool(
      role: pool.role, firstRank: 0, mesh: mesh, load: load, activations: request.activations)
  }

  /// What a rank would hold by a rough account: weights and caches, and an eighth of what is
  /// usable for a step. Nil where experts do not fall onto ranks.
  private func roughBytes(_ pool: Pool, redundant: Int?) -> Int? {
    let mesh = pool.mesh
    var bytes = Double(cluster.hardware.memoryBytes) * cluster.usableFraction / 8
    for call in program.calls + program.drafts {
      let function = program.functions[call.function]
      let layers = Double(max(call.layers.count, 1)) / Double(mesh.pp)
      for weight in function.weights {
        let size =
          Double(weight.elementCount) * program.precision.format(of: weight.role).bitsPerElement / 8
        let isSplit = weight.axes.contains { $0.split == .tensor }
        if let experts = weight.axes.first(where: { $0.split == .expert })?.size {
          guard let slots = Compilation.slotsPerRank(experts, redundant, over: mesh.ep) else {
            return nil
          }
          bytes +=
            size * layers * Double(slots) / Double(experts) / Double(mesh.expertTensorParts)
        } else {
          bytes += size * layers / Double(isSplit ? mesh.tp : 1)
        }
      }
      for cache in function.caches {
        let entries =
          cache.kind.growsWithContext
          ? min(cache.window ?? pool.load.context, pool.load.context) : 1
        // Key heads fewer than ranks are held by several of them.
        let heads = cache.parts.joined().first { $0.split == .tensor }?.size ?? 1
        bytes +=
          Double(cache.elementsPerEntry) * Double(entries) * Double(pool.load.sequences)
          * Double(pool.cacheElementBytes(cache.kind)) * layers / Double(min(heads, mesh.tp))
      }
    }
    return Int(saturating: bytes)
  }

  /// Slots of an expert rank for so many logical experts; without a wish for redundant ones, as
  /// few as come out even. Nil where the wish does not.
  static func slotsPerRank(_ experts: Int, _ redundant: Int?, over ranks: Int) -> Int? {
    guard let redundant else { return (experts + ranks - 1) / ranks }
    // A rank holds an expert once.
    guard (0...(experts * ranks)).contains(redundant) else { return nil }
    let slots = experts + redundant
    return slots % ranks == 0 && slots / ranks <= experts ? slots / ranks : nil
  }

  private mutating func explain(_ pool: Pool, _ request: CompileRequest.PoolRequest) {
    let mesh = pool.mesh
    var chosen: [String] = []
    if request.pp == nil { chosen.append("pp \(mesh.pp)") }
    if request.tp == nil {
      chosen.append(
        mesh.tp == 1 ? "tp 1, attention fits without it" : "tp \(mesh.tp), the least that fits")
    }
    if request.dp == nil { chosen.append("dp \(mesh.dp), the rest of the devices") }
    if request.ep == nil {
      chosen.append(
        hasExperts ? "ep \(mesh.ep), experts over all ranks of a stage" : "ep 1, no experts")
    }
    if request.batch == nil && request.groupSequences == nil && pool.role != .prefill {
      chosen.append("\(pool.load.sequences) sequences a data group")
    }
    if request.tokensPerDevice == nil && request.groupTokens == nil && pool.role != .decode {
      chosen.append("\(pool.load.tokens) tokens a step and data group")
    }
    if !chosen.isEmpty {
      decisions.append("\(pool.role.rawValue): " + chosen.joined(separator: "; "))
    }
  }
}
