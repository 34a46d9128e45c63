internal import EPIR
public import EPModel

/// What placing a model's routed experts needs to know of them.
public struct ModelExperts: Hashable, Sendable {
  /// The model's layers with experts, MTP depths left out.
  public var layers: [Int]
  /// All layers of the model, dense ones too.
  public var modelLayers: Int
  /// Experts of a layer.
  public var count: Int
  /// Experts that a token chooses.
  public var topK: Int
  /// Groups of experts that routing chooses among first; 1 when it does not.
  public var groups: Int
  /// Groups that a token may choose experts of.
  public var keptGroups: Int
  /// Bytes of an expert of one layer.
  public var bytes: Int

  /// Reads a model's program: its first function with experts. Nil where it has none.
  public init?(_ program: ModelProgram) {
    var layers: [Int] = []
    var first: Function?
    for call in program.calls {
      let function = program.functions[call.function]
      guard function.operations.contains(where: { $0.kind == .dispatch }) else { continue }
      layers += call.layers
      if first == nil { first = function }
    }
    guard let first, let dispatch = first.operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices")
    else { return nil }
    self.layers = layers.sorted()
    modelLayers = Set(program.calls.flatMap(\.layers)).count
    count = dispatch.attributes.int("experts")
    topK = first.values[indices].axes.last?.size ?? 1
    let route = first.operations.first { $0.kind == .route && $0.results.contains(indices) }
    groups = max(route?.attributes.int("groups", default: 1) ?? 1, 1)
    keptGroups = max(route?.attributes.int("groups_kept", default: groups) ?? groups, 1)
    var bits = 0.0
    for weight in first.weights where weight.axes.contains(where: { $0.split == .expert }) {
      bits += Double(weight.elementCount) * program.precision.format(of: weight.role).bitsPerElement
    }
    bytes = Int((bits / 8 / Double(max(count, 1))).rounded(.up))
  }
}
