internal import EPIR
internal import EPModel
internal import EPPlan

/// What people call the body of a layer: its attention, its experts.
struct LayerFunction {
  /// The function.
  let sharded: ShardedFunction
  /// The pool it runs in.
  let pool: Pool

  private var operations: [Operation] { sharded.function.operations }
  private var values: [TensorType] { sharded.function.values }

  /// Whether tokens go to routed experts.
  var hasExperts: Bool { operations.contains { $0.kind == .dispatch } }

  /// How it mixes tokens, one phrase for each way.
  var attention: [String] { operations.compactMap(phrase) }

  private func phrase(_ operation: Operation) -> String? {
    func size(_ role: String, _ axis: String) -> Int? {
      guard case .value(let value)? = operation.operand(role) else { return nil }
      return values[value].axis(named: axis).flatMap(wholeSize)
    }
    func part(_ axis: String) -> String {
      let splits = sharded.sharding.contains { sharding in
        sharding.tensorAxis.map { sharding.axes[$0].name == axis } ?? false
      }
      return splits ? " over \(pool.mesh.tp) ranks" : ""
    }
    if operation.kind == .latentAttention {
      let heads = size("query", "heads") ?? 0
      let rope = size("key_rope", "latent") ?? 0
      return "MLA, \(heads) heads\(part("heads")), latent \(size("latent", "latent") ?? 0)"
        + (rope > 0 ? " + \(rope) rotary" : "") + selection(operation)
    }
    if operation.kind == .attention {
      let heads = size("query", "heads") ?? 0
      let keys = size("key", "kv_heads") ?? heads
      let width = size("query", "head_dim") ?? 0
      let each = "\(heads) heads" + (width > 0 ? " of \(width)" : "")
      let name = keys == heads ? "MHA, \(each)" : "GQA, \(each) on \(keys) KV heads"
      let window = operation.attributes.int("window")
      return name + part("heads")
        + (window > 0 ? ", window \(window)" : "") + selection(operation)
    }
    if operation.kind == .linearAttention {
      let heads = size("query", "heads") ?? size("value", "heads")
      return "linear attention (\(operation.attributes.text("rule")) rule)"
        + (heads.map { ", \($0) heads\(part("heads"))" } ?? "")
    }
    return nil
  }

  private func selection(_ operation: Operation) -> String {
    guard case .value(let selected)? = operation.operand("selection"),
      let index = operations.first(where: { $0.results.contains(selected) })
    else { return "" }
    return ", sparse: \(index.attributes.int("top_k")) tokens"
  }

  /// The size of an axis over all tensor ranks, which a weight with the same axis tells.
  private func wholeSize(_ axis: Axis) -> Int? {
    guard let local = axis.size else { return nil }
    for (weight, sharding) in zip(sharded.function.weights, sharded.sharding) {
      if let split = sharding.tensorAxis, sharding.axes[split].name == axis.name,
        weight.axes[split].size == local
      {
        return sharding.axes[split].size
      }
    }
    return local
  }

  /// Where the experts are: `256 + 32 redundant in 288 slots, 2 a rank; top-8, shared 2048 wide`.
  func experts(_ placement: ExpertPlacement) -> String {
    let held = placement.slots.count { $0 >= 0 }
    let redundant = held - placement.experts
    var text =
      "\(placement.experts) experts"
      + (redundant > 0 ? " + \(redundant) redundant" : "")
      + " in \(held) slots, "
      + (placement.hasEmptySlots
        ? (0..<pool.mesh.ep).map { String(placement.experts(ofRank: $0).count) }
          .joined(separator: " + ") + " on unlike ranks" : "\(placement.slotsPerRank) a rank")
    if placement.sharing == .batch { text += ", shared batch by batch" }
    if pool.mesh.expertTensorParts > 1 {
      text += ", each over \(pool.mesh.expertTensorParts) tensor ranks"
    }
    if pool.mesh.expertCopies > 1 { text += ", \(pool.mesh.expertCopies) copies of all" }
    if let dispatch = operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices")
    {
      text += "; top-\(values[indices].axes.last?.size ?? 1)"
    }
    for sharding in sharded.sharding {
      if let shared = sharding.axes.first(where: { $0.name == "shared_intermediate" })?.size {
        return text + " + shared, \(shared) wide"
      }
    }
    return text
  }

  /// How tokens choose: `sigmoid scores, 4 of 8 groups`.
  var router: String? {
    guard let route = operations.last(where: { $0.kind == .route }) else { return nil }
    let attributes = route.attributes
    var parts: [String] = []
    switch attributes.text("selection") {
    case "hash": parts.append("by hash of the token")
    case "top_p":
      parts.append("top-p \(attributes.real("top_p")) of \(attributes.text("scoring")) scores")
    default: parts.append("\(attributes.text("scoring")) scores")
    }
    if route.operand("bias") != nil { parts.append("correction bias") }
    if attributes.int("groups") > 1 {
      parts.append("\(attributes.int("groups_kept")) of \(attributes.int("groups")) groups")
    }
    if attributes.int("identity_experts") > 0 {
      parts.append("\(attributes.int("identity_experts")) identity experts")
    }
    if attributes["capacity_factor"] != nil {
      parts.append("capacity \(attributes.real("capacity_factor"))")
    }
    return parts.joined(separator: ", ")
  }
}
