public import EPJSON

/// A placement of layers as files hold it: what is in force, or is to be.
public struct PlacedLayers: Hashable, Sendable {
  /// The model's number of each layer, ascending.
  public var layers: [Int]
  /// The expert in each slot of each layer, ranks one after the other.
  public var slots: [[Int]]
  /// The slots, where the file says how they fall onto ranks.
  public var shape: PlacementShape?

  /// Makes a placement.
  public init(layers: [Int], slots: [[Int]], shape: PlacementShape?) {
    self.layers = layers
    self.slots = slots
    self.shape = shape
  }

  /// Reads what `BalanceReport.document` writes, or SGLang's `physical_to_logical_map`, whose rows
  /// are all layers of the model.
  public init(json root: JSONNode) throws(JSONError) {
    let most = 1 << 20
    if let map = try root.optional("physical_to_logical_map") {
      let rows = try map.array(maxCount: 100_000)
      self.init(layers: Array(rows.indices), slots: [], shape: nil)
      for row in rows { slots.append(try row.ints(in: 0...most, maxCount: most)) }
    } else {
      self.init(layers: [], slots: [], shape: try PlacedLayers.shape(root))
      for layer in try root["layers"].array(maxCount: 100_000) {
        layers.append(try layer["layer"].int(in: 0...100_000))
        slots.append(try layer["slots"].ints(in: 0...most, maxCount: most))
      }
    }
    if slots.isEmpty { throw root.fail("no layer is placed") }
  }

  private static func shape(_ root: JSONNode) throws(JSONError) -> PlacementShape {
    func size(_ name: String) throws(JSONError) -> Int { try root[name].int(in: 1...(1 << 20)) }
    let (experts, ranks, slotsPerRank) = (
      try size("experts"), try size("ranks"), try size("slots_per_rank")
    )
    let (nodes, groups) = (try size("nodes"), try size("groups"))
    do throws(PlacementError) {
      return try PlacementShape(
        experts: experts, ranks: ranks, slotsPerRank: slotsPerRank, nodes: nodes, groups: groups)
    } catch { throw root.fail(error.description) }
  }

  /// The slots of the given layers.
  public func slots(of wanted: [Int]) throws(PlacementError) -> [[Int]] {
    if layers == wanted { return slots }
    var found: [[Int]] = []
    for layer in wanted {
      guard let index = layers.firstIndex(of: layer) else {
        throw .shape(
          "layer \(layer) has loads and no placement in force; placed are \(layers.count) layers "
            + "from \(layers.first ?? 0) on")
      }
      found.append(slots[index])
    }
    return found
  }
}
