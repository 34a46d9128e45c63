internal import EPIR
internal import EPJSON
internal import EPModel
internal import EPPlacement
internal import EPPlan

/// Where a pool's experts are, layer by layer, MTP depths left out: engines place those as they like.
struct ExpertLocations {
  /// The layers with experts, ascending.
  var layers: [Int] = []
  /// For each, the logical expert in each slot.
  var slots: [[Int]] = []
  /// Logical experts of a layer.
  var experts = 0
  /// Layers of the model, MTP depths not counted.
  var modelLayers = 0

  init(_ pool: Pool) {
    let drafts = Set(pool.drafts.map(\.function))
    let calls = pool.stages.joined().flatMap(\.layers)
    modelLayers = (calls.max() ?? -1) + 1
    var rows: [Int: [Int]] = [:]
    for placement in pool.placements where !drafts.contains(placement.function) {
      experts = max(experts, placement.experts)
      for layer in placement.layers { rows[layer] = placement.slots }
    }
    layers = rows.keys.sorted()
    slots = layers.map { rows[$0] ?? [] }
  }

  /// Whether every layer has its experts in order, beginning again for replicas.
  var areInOrder: Bool {
    slots.allSatisfy { row in row.enumerated().allSatisfy { $0.element == $0.offset % experts } }
  }

  /// The file SGLang reads.
  func sglang() throws(Diagnostics) -> String {
    do {
      let value = try PlacementExport.sglang(
        slots: slots, layers: layers, modelLayers: modelLayers, experts: experts)
      return String(decoding: try value.serialized(), as: UTF8.self) + "\n"
    } catch { throw Diagnostics("export-placement", "\(error)") }
  }

  /// The file TensorRT-LLM reads.
  func tensorRTLLM() throws(Diagnostics) -> String {
    do { return try PlacementExport.tensorRTLLM(slots: slots, layers: layers) } catch {
      throw Diagnostics("export-placement", error.description)
    }
  }
}
