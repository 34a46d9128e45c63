internal import EPIR
internal import EPModel
internal import EPPlan

/// The words a picture shows for an operation.
struct OpLabel {
  /// What it does: `linear q_a_proj`.
  var title: String
  /// With which sizes: `1536 x 7168 fp8`.
  var detail: String

  /// Labels an operation of a function.
  init(
    _ operation: Operation, in sharded: ShardedFunction, precision: Precision, traffic: Traffic?
  ) {
    let attributes = operation.attributes
    let weights = operation.operands.compactMap { operand in
      if case .weight(let index) = operand.reference { return sharded.function.weights[index] }
      return nil
    }
    let name = weights.first.map(OpLabel.shortName) ?? ""
    title = operation.kind.rawValue
    detail = ""
    switch operation.kind {
    case .linear, .embed:
      if !name.isEmpty { title += " " + name }
      if let weight = weights.first {
        detail =
          weight.axes.map { "\($0.size ?? 0)" }.joined(separator: " x ") + " "
          + precision.format(of: weight.role).rawValue
      }
    case .norm:
      title = "\(attributes.text("form")) norm"
      detail = name
    case .unary, .binary, .reduce:
      title = attributes.text("function")
      detail = name
    case .glu: detail = attributes.text("activation")
    case .slice:
      let start = attributes.int("start")
      detail = "\(attributes.text("axis")) \(start)-\(start + attributes.int("count") - 1)"
    case .concat: detail = attributes.text("axis")
    case .custom: detail = attributes.text("name")
    case .rope: detail = "\(attributes.int("rotated")) \(attributes.text("layout"))"
    case .route:
      detail =
        "top-\(attributes.int("top_k")) of \(attributes.int("experts")), "
        + attributes.text("scoring")
    case .attention, .latentAttention, .index, .shortConvolution, .linearAttention:
      for operand in operation.operands {
        if case .cache(let cache) = operand.reference {
          detail = "cache \(sharded.function.caches[cache].name)"
        }
      }
    case .dispatch, .combine, .allReduce, .allGather, .reduceScatter, .send, .receive:
      detail = attributes.text("algorithm")
      if let traffic {
        detail =
          "\(traffic.group) \(traffic.ranks), \(Units.bytes(traffic.bytes))"
          + (detail.isEmpty ? "" : ", \(detail)")
      }
    case .contract, .affine, .positionScale, .sumSquares, .softmax, .reshape, .scatterRows,
      .sampleRows:
      break
    }
    title = Escaping.shortened(Escaping.printable(title), to: 30)
    detail = Escaping.shortened(Escaping.printable(detail), to: 38)
  }

  /// The last telling part of a weight's name: `q_a_proj`.
  private static func shortName(_ weight: WeightDeclaration) -> String {
    let parts = weight.name.split(separator: ".")
    let last = parts.last.map(String.init) ?? ""
    return last == "weight" ? parts.dropLast().last.map(String.init) ?? last : last
  }

  /// A type as pictures show it: `tokens, hidden 7168`.
  static func text(of type: TensorType) -> String {
    let axes = type.axes.map { axis in axis.name + (axis.size.map { " \($0)" } ?? "") }
    return Escaping.shortened(
      Escaping.printable(axes.joined(separator: ", ") + (type.element == .index ? " index" : "")),
      to: 48)
  }
}
