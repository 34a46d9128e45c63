public import EPJSON

/// Placements in the forms that engines read.
public enum PlacementExport {
  /// SGLang's `--init-expert-location FILE.json`: an object whose `physical_to_logical_map` has a row
  /// for every layer of the model, dense ones included, since SGLang indexes it by layer.
  ///
  /// A layer that was not placed gets its experts in order, as SGLang's `trivial` does.
  public static func sglang(
    _ placements: [LayerPlacement], layers: [Int], modelLayers: Int, experts: Int
  ) throws(PlacementError) -> JSONValue {
    try sglang(
      slots: placements.map(\.slots), layers: layers, modelLayers: modelLayers, experts: experts)
  }

  /// The same for the logical expert in each slot of each placed layer.
  public static func sglang(
    slots placements: [[Int]], layers: [Int], modelLayers: Int, experts: Int
  ) throws(PlacementError) -> JSONValue {
    let rows = try byLayer(placements, layers, modelLayers)
    guard let slots = placements.first?.count else { throw .shape("there is no placement") }
    let trivial = JSONValue.array((0..<slots).map { .int($0 % experts) })
    var object = JSONObject()
    object["physical_to_logical_map"] = .array(
      rows.map { row in row.map { .array($0.map { .int($0) }) } ?? trivial })
    return .object(object)
  }

  /// TensorRT-LLM's `moe_config.load_balancer` for static placement: `num_slots`, an
  /// `initial_global_assignments` list for each layer with experts, and no updates.
  ///
  /// YAML with its keys as integers; JSON cannot say that, and TensorRT-LLM looks layers up by
  /// integer.
  public static func tensorRTLLM(
    _ placements: [LayerPlacement], layers: [Int]
  ) throws(PlacementError) -> String {
    try tensorRTLLM(slots: placements.map(\.slots), layers: layers)
  }

  /// The same for the logical expert in each slot of each placed layer.
  public static func tensorRTLLM(
    slots placements: [[Int]], layers: [Int]
  ) throws(PlacementError) -> String {
    guard placements.count == layers.count, let first = placements.first else {
      throw .shape("\(placements.count) placements for \(layers.count) layers")
    }
    var text = "num_slots: \(first.count)\ninitial_global_assignments:\n"
    for (layer, placement) in zip(layers, placements) {
      let slots = placement.map(String.init).joined(separator: ", ")
      text += "  \(layer): [\(slots)]\n"
    }
    return text + "layer_updates_per_iter: 0\n"
  }

  private static func byLayer(
    _ placements: [[Int]], _ layers: [Int], _ modelLayers: Int
  ) throws(PlacementError) -> [[Int]?] {
    guard placements.count == layers.count else {
      throw .shape("\(placements.count) placements for \(layers.count) layers")
    }
    var rows: [[Int]?] = Array(repeating: nil, count: max(modelLayers, 0))
    for (layer, placement) in zip(layers, placements) {
      guard layer < rows.count else {
        throw .shape("layer \(layer) is placed, but the model has \(modelLayers) layers")
      }
      rows[layer] = placement
    }
    return rows
  }
}
