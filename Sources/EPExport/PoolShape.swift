internal import EPIR
internal import EPModel
public import EPPlan

/// A pool in the terms of engines: instances of one engine, each over some nodes.
///
/// Where a plan holds several copies of all experts, the ranks of different copies never meet, so
/// each copy is an engine instance of its own.
public struct PoolShape: Hashable, Sendable {
  /// The pool, as an index into the plan's pools.
  public var index: Int
  /// What it does.
  public var role: Pool.Role
  /// Engine instances.
  public var instances: Int
  /// Pipeline stages of an instance.
  public var pp: Int
  /// Data groups of an instance.
  public var dp: Int
  /// Ranks that share the attention heads of a data group.
  public var tp: Int
  /// Ranks (or data groups, where experts are split) that share the experts of an instance.
  public var ep: Int
  /// Whether every rank holds whole experts.
  public var holdsWholeExperts: Bool
  /// Routed experts of a layer; 0 without any.
  public var experts: Int
  /// Slots for them over all expert ranks.
  public var slots: Int
  /// Experts a token goes to.
  public var topK: Int
  /// The hidden size.
  public var hidden: Int
  /// Attention heads of all layers that have any, without repeats.
  public var heads: [Int]
  /// Key heads of all layers that have any, without repeats.
  public var keyHeads: [Int]
  /// The All-to-All algorithm that dispatch names: `low_latency` or `normal`.
  public var algorithm: String
  /// Sequences of a data group.
  public var sequences: Int
  /// Tokens of a data group in one step.
  public var tokens: Int
  /// MTP depths.
  public var drafts: Int
  /// Micro-batches whose exchanges and compute overlap; 1 where they do not.
  public var microBatches: Int
  /// Layers of each pipeline stage.
  public var stageLayers: [Int]
  /// Layers without experts.
  public var denseLayers: Int
  /// What the fullest rank holds, in bytes, as the plan counts.
  public var memory: MemoryTable
  /// Bytes of a device.
  public var deviceBytes: Int
  /// Bytes of a device that a plan may use.
  public var usableBytes: Int
  /// The cluster's first rank of the pool.
  public var firstRank: Int
  /// Devices of a node.
  public var devicesPerNode: Int
  /// The format of activations and caches.
  public var activations: String

  /// Ranks of a pipeline stage of an instance.
  public var stageRanks: Int { dp * tp }
  /// Ranks of an instance.
  public var ranks: Int { pp * stageRanks }
  /// Slots beyond one for each expert.
  public var redundant: Int { slots - experts }
  /// Nodes of an instance.
  public var nodes: Int { (ranks + devicesPerNode - 1) / devicesPerNode }
  /// Devices of each of its nodes, where they come out even.
  public var ranksPerNode: Int { ranks / nodes }
  /// Whether tokens cross between ranks on their way to experts.
  public var exchangesTokens: Bool { experts > 0 && ep > 1 }
  /// Whether dispatch goes through DeepEP's low-latency kernels in any step.
  public var usesLowLatency: Bool {
    exchangesTokens && holdsWholeExperts && (algorithm == "low_latency" || role == .unified)
  }

  /// The cluster's rank that is rank 0 of an instance.
  public func firstRank(ofInstance instance: Int) -> Int { firstRank + instance * ranks }
}

extension PoolShape {
  /// Whether two micro-batches are to overlap: as asked for, or else as the plan does.
  func overlaps(_ request: ExportRequest) -> Bool { request.twoBatches ?? (microBatches > 1) }

  /// What of the plan's micro-batches an engine that knows two of them, or none, leaves out.
  func overlapRemark(_ request: ExportRequest, engine: String) -> ExportBundle.Remark? {
    guard request.twoBatches == nil, microBatches > 2 else { return nil }
    return ExportBundle.Remark(
      "overlap",
      "\(role.rawValue): the plan cuts steps into \(microBatches) micro-batches; \(engine) overlaps two"
    )
  }
}

extension Plan {
  /// The pools in the terms of engines.
  ///
  /// The plan must have been verified.
  public var shapes: [PoolShape] { pools.indices.map { shape(of: $0) } }

  private func shape(of index: Int) -> PoolShape {
    let pool = pools[index]
    let mesh = pool.mesh
    let calls = pool.stages.joined().filter { !$0.layers.isEmpty }
    let functions = Set(calls.map(\.function)).sorted().map { pool.functions[$0] }
    func sizes(_ name: String) -> [Int] {
      let axes = functions.flatMap { $0.sharding.flatMap(\.axes) }
      return Set(axes.filter { $0.name == name }.compactMap(\.size)).sorted()
    }
    let drafts = Set(pool.drafts.map(\.function))
    let placements = pool.placements.filter { !drafts.contains($0.function) }
    let dispatch = functions.lazy.compactMap { function in
      function.function.operations.first { $0.kind == .dispatch }.map { (function, $0) }
    }.first
    var topK = 0
    if let (function, operation) = dispatch,
      case .value(let indices)? = operation.operand("indices")
    {
      topK = function.function.values[indices].axes.last?.size ?? 0
    }
    let fullest = pool.memory.max { $0.total < $1.total }
    let withExperts = Set(placements.flatMap(\.layers))
    let layers = Set(calls.flatMap(\.layers))
    return PoolShape(
      index: index, role: pool.role, instances: mesh.expertCopies, pp: mesh.pp,
      dp: mesh.dp / mesh.expertCopies, tp: mesh.tp, ep: mesh.ep,
      holdsWholeExperts: mesh.holdsWholeExperts, experts: placements.map(\.experts).max() ?? 0,
      slots: placements.map(\.slots.count).max() ?? 0, topK: topK, hidden: model.hidden,
      heads: sizes("heads"), keyHeads: sizes("kv_heads"),
      algorithm: dispatch?.1.attributes.text("algorithm") ?? "", sequences: pool.load.sequences,
      tokens: pool.load.tokens, drafts: pool.drafts.count,
      microBatches: pool.microBatches,
      stageLayers: pool.stages.map { $0.reduce(0) { $0 + $1.layers.count } },
      denseLayers: layers.subtracting(withExperts).count, memory: fullest ?? MemoryTable(),
      deviceBytes: cluster.memoryBytes, usableBytes: cluster.usableBytes,
      firstRank: pool.firstRank, devicesPerNode: max(cluster.devicesPerNode, 1),
      activations: pool.activations.rawValue)
  }
}
