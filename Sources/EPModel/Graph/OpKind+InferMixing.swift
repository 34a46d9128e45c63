// Shape rules of operations that mix tokens or route them to experts.
extension Operation {
  func inferAttention(_ read: OperandTypes) throws(OpError) -> TensorType {
    let query = try read.rows("query", axes: 2)
    let key = try read.rows("key", axes: 2)
    let value = try read.rows("value", axes: 2)
    let heads = query.axes[1].size ?? 0
    let keyHeads = key.axes[1].size ?? 0
    try read.require(
      query.axes[2].size == key.axes[2].size,
      "query heads have \(query.axes[2].size ?? 0) elements, key heads \(key.axes[2].size ?? 0)")
    try read.require(
      key.axes[1].size == value.axes[1].size && keyHeads > 0 && heads % keyHeads == 0,
      "\(heads) query heads cannot share \(keyHeads) key heads evenly")
    if let sinks = read.optional("sinks") {
      try read.require(sinks.axes == [query.axes[1]], "sinks are \(sinks), one a query head")
    }
    for name in ["window", "chunk"] where attributes[name] != nil {
      let count = attributes.int(name)
      try read.require(count > 0, "a \(name) of \(count) tokens; a row sees at least itself")
    }
    try read.require(
      attributes.real("softcap", default: 1) > 0,
      "logits are capped at \(attributes.real("softcap")), which is not positive")
    try requireSelection(read)
    try read.requireCache(
      .keyValue, parts: [Array(key.axes.dropFirst()), Array(value.axes.dropFirst())])
    return TensorType([query.axes[0], query.axes[1], value.axes[2]])
  }

  func inferLatentAttention(_ read: OperandTypes) throws(OpError) -> TensorType {
    let query = try read.rows("query", axes: 2)
    let queryRope = try read.rows("query_rope", axes: 2)
    let latent = try read.rows("latent", axes: 1)
    let keyRope = try read.rows("key_rope", axes: 1)
    let up = try read.type("kv_up")
    let value = attributes.int("value_size")
    try read.require(query.axes[1] == queryRope.axes[1], "query and query_rope differ in heads")
    try read.require(
      queryRope.axes[2].size == keyRope.axes[1].size,
      "query_rope has \(queryRope.axes[2].size ?? 0) elements, key_rope \(keyRope.axes[1].size ?? 0)"
    )
    try read.require(
      up.axes.count == 3 && up.axes[0] == query.axes[1] && value > 0
        && up.axes[1].size == (query.axes[2].size ?? 0).saturatingSum(value)
        && up.axes[2].size == latent.axes[1].size,
      "kv_up \(up) does not make keys of \(query) and values of size \(value) from \(latent)")
    try requireSelection(read)
    try read.requireCache(.latent, parts: [[latent.axes[1]], [keyRope.axes[1]]])
    return TensorType([query.axes[0], query.axes[1], Axis("value_dim", value)])
  }

  private func requireSelection(_ read: OperandTypes) throws(OpError) {
    guard let selection = read.optional("selection") else { return }
    try read.require(
      selection.element == .index && selection.axes.count == 2,
      "the selection is \(selection), not token positions for each row")
  }

  func inferIndex(_ read: OperandTypes) throws(OpError) -> TensorType {
    let query = try read.rows("query", axes: 2)
    let key = try read.rows("key", axes: 1)
    let weights = try read.rows("head_weights", axes: 1)
    try read.require(
      query.axes[2].size == key.axes[1].size && weights.axes[1].size == query.axes[1].size,
      "the indexer's query \(query), key \(key) and head weights \(weights) do not fit")
    let topK = attributes.int("top_k")
    try read.require(topK > 0, "the indexer selects \(topK) tokens")
    try read.requireCache(.indexKey, parts: [[key.axes[1]]])
    return TensorType([query.axes[0], Axis("selected", topK)], element: .index)
  }

  func inferShortConvolution(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let weight = try read.type("weight")
    let channels = Array(x.axes.dropFirst())
    try read.require(
      x.element == .real && weight.axes.count == channels.count + 1
        && Array(weight.axes.dropLast()) == channels,
      "the convolution's weight \(weight) does not fit the channels of \(x)")
    if let bias = read.optional("bias") {
      try read.require(bias.axes == channels, "the convolution's bias is \(bias)")
    }
    let taps = weight.axes[weight.axes.count - 1].size ?? 0
    try read.require(taps >= 2, "a convolution has at least 2 taps, not \(taps)")
    try read.requireCache(.convolution, parts: [channels + [Axis("taps", taps - 1)]])
    return x
  }

  func inferLinearAttention(_ read: OperandTypes) throws(OpError) -> TensorType {
    let query = try read.rows("query", axes: 2)
    let key = try read.rows("key", axes: 2)
    let value = try read.rows("value", axes: 2)
    let heads = value.axes[1].size ?? 0
    let keyHeads = key.axes[1].size ?? 0
    try read.require(
      query.axes.dropFirst().map(\.size) == key.axes.dropFirst().map(\.size) && keyHeads > 0
        && heads % keyHeads == 0,
      "linear attention with query \(query), key \(key) and value \(value)")
    if let decay = read.optional("decay") {
      let fixed = decay.axes.filter { !$0.isRows }.map(\.size)
      try read.require(
        fixed == [heads] || fixed == [heads, key.axes[2].size],
        "the decay \(decay) is neither one a head nor one a head and key element")
    }
    if let beta = read.optional("beta") {
      try read.require(
        beta.axes.dropFirst().map(\.size) == [heads], "beta is \(beta), one a value head")
    }
    try read.require(
      attributes.text("rule") != "delta" || read.optional("beta") != nil,
      "the delta rule needs 'beta'")
    try read.requireCache(
      .recurrent, parts: [[value.axes[1], key.axes[2].renamedForState, value.axes[2]]])
    return value
  }

  func inferRoute(_ read: OperandTypes) throws(OpError) -> [TensorType] {
    let identity = attributes.int("identity_experts")
    let experts = attributes.int("experts").saturatingSum(identity)
    let topK = attributes.int("top_k")
    try read.require(
      attributes.int("experts") > 0 && identity >= 0 && experts < 1 << 24 && topK > 0
        && topK <= experts,
      "top-\(topK) of \(experts) experts")
    try checkGroups(read, experts: experts)
    for name in ["temperature", "capacity_factor", "top_p"] {
      let value = attributes.real(name, default: 1)
      try read.require(value > 0, "a router's \(name) is positive, not \(value)")
    }
    if let bias = read.optional("bias") {
      try read.require(
        bias.axes.count == 1 && bias.axes[0].size == experts,
        "the correction bias is \(bias) for \(experts) experts")
    }
    var rows: Axis?
    if let logits = read.optional("logits") {
      try read.require(
        logits.axes.count == 2 && logits.axes[1].size == experts && logits.element == .real,
        "the router's logits are \(logits) for \(experts) experts")
      rows = logits.axes[0]
    }
    for role in ["ids", "modality"] {
      guard let type = read.optional(role) else { continue }
      try read.require(
        type.element == .index && type.axes.count == 1, "'\(role)' is \(type), not one index a row")
      rows = rows ?? type.axes[0]
    }
    try read.require(
      attributes.text("selection") != "hash" || read.optional("ids") != nil,
      "a hash router needs 'ids'")
    try read.require(
      attributes.text("selection") == "hash" || read.optional("logits") != nil,
      "a router needs 'logits'")
    let partitions = attributes.ints("partitions")
    try read.require(
      partitions.count % 2 == 0 && (partitions.isEmpty || read.optional("modality") != nil),
      "partitions of experts need 'modality'")
    for pair in stride(from: 0, to: partitions.count, by: 2) {
      let (start, count) = (partitions[pair], partitions[pair + 1])
      try read.require(
        start >= 0 && count >= topK && start <= experts && count <= experts - start,
        "experts \(start)..<\(start &+ count) of a modality, with \(experts) experts and top-\(topK)"
      )
    }
    guard let rows else { throw OpError("a router reads nothing") }
    var selected = topK
    if let outer = read.optional("outer_indices") {
      let groups = attributes.int("groups")
      try read.require(
        outer.axes.count == 2 && outer.element == .index && groups > 0
          && read.optional("outer_weights")?.axes == outer.axes,
        "the outer level routes to \(outer)")
      try read.require(
        topK <= experts / groups,
        "top-\(topK) of the \(experts / groups) experts in each of \(groups) groups")
      selected = selected.saturatingProduct(outer.axes[1].size ?? 1)
    }
    let axes = [rows, Axis("top_k", selected)]
    return [TensorType(axes, element: .index), TensorType(axes)]
  }

  private func checkGroups(_ read: OperandTypes, experts: Int) throws(OpError) {
    let groups = attributes.int("groups", default: 1)
    let kept = attributes.int("groups_kept", default: groups)
    try read.require(
      groups > 0 && experts % groups == 0,
      "\(experts) experts do not fall into \(groups) equal groups")
    try read.require(kept > 0 && kept <= groups, "\(kept) of \(groups) groups")
    if read.optional("outer_indices") == nil {
      try read.require(
        attributes.int("top_k") <= experts / groups * kept,
        "top-\(attributes.int("top_k")) out of \(experts / groups * kept) experts in \(kept) groups"
      )
    }
  }

  func inferDispatch(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    try checkRouting(read, rows: x.axes[0])
    try read.require(x.axes[0] != .routed, "dispatch takes rows of tokens, not \(x)")
    return TensorType([.routed] + x.axes.dropFirst())
  }

  func inferCombine(_ read: OperandTypes) throws(OpError) -> TensorType {
    let x = try read.rows("x")
    let rows = try read.rows("indices").axes[0]
    try checkRouting(read, rows: rows)
    try read.require(
      x.axes[0] == .routed && rows != .routed, "combine takes rows that were dispatched, not \(x)")
    let result = TensorType([rows] + x.axes.dropFirst())
    if let identity = read.optional("identity") {
      try read.require(
        identity == result, "identity experts return \(identity), routed ones \(result)")
    }
    return result
  }

  private func checkRouting(_ read: OperandTypes, rows: Axis) throws(OpError) {
    let indices = try read.type("indices")
    try read.require(
      indices.element == .index && indices.axes.count == 2 && indices.axes[0] == rows,
      "expert indices are \(indices)")
    if let weights = read.optional("weights") {
      try read.require(
        weights.axes == indices.axes && weights.element == .real,
        "expert weights are \(weights), indices \(indices)")
    }
    try read.require(attributes.int("experts") > 0, "no experts")
  }
}

extension Axis {
  /// The key axis of a recurrent state, which may not share the value axis' name.
  var renamedForState: Axis { Axis("key_\(name)", size ?? 0) }
}
