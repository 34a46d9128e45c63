internal import EPModel
internal import EPPlan

/// What operations do with a weight: it decides what random numbers stand in for it, and how a
/// checkpoint's elements are read.
enum WeightUse: Hashable, Sendable {
  /// Multiplied with activations, so many elements a sum.
  case matrix(fanIn: Int)
  /// Multiplied with normalised activations, after an offset was added.
  case gain(offset: Double)
  /// Added.
  case bias
  /// Added to a router's scores for the selection.
  case correction
  /// Experts by token.
  case experts(Int)
  /// Anything else: decay rates, sinks.
  case other

  /// What the operations of a function do with a weight.
  init(of weight: Int, in sharded: ShardedFunction) {
    let axes = sharded.sharding[weight].axes
    for operation in sharded.function.operations {
      for operand in operation.operands where operand.reference == .weight(weight) {
        switch (operation.kind, operand.role) {
        case (.linear, "weight"):
          let count = operation.attributes.texts("contract").count
          self = .matrix(fanIn: axes.suffix(count).reduce(1) { $0 * ($1.size ?? 1) })
        case (.latentAttention, "kv_up"), (.shortConvolution, "weight"):
          self = .matrix(fanIn: axes.last?.size ?? 1)
        // A table may be the head's matrix too, which it then has to agree with.
        case (.embed, _): self = .matrix(fanIn: axes.last?.size ?? 1)
        case (.norm, "weight"):
          self = .gain(offset: operation.attributes.real("weight_offset"))
        case (.route, "bias"): self = .correction
        case (.route, "table"): self = .experts(operation.attributes.int("experts"))
        case (_, "bias"): self = .bias
        default: continue
        }
        return
      }
    }
    self = .other
  }

  /// Centre and deviation of random numbers in its place; those of experts have none.
  var distribution: (center: Double, deviation: Double) {
    switch self {
    case .matrix(let fanIn): return (0, 1 / Double(max(fanIn, 1)).squareRoot())
    case .gain(let offset): return (1 - offset, 0.1)
    case .bias: return (0, 0.1)
    case .correction: return (0, 0.01)
    case .experts: return (0, 0)
    case .other: return (0, 0.5)
    }
  }
}
