public import EPModel

/// What `epc balance` prints: how even the ranks are, layer by layer.
public struct BalanceReport: Sendable {
  /// One layer.
  public struct Layer: Hashable, Sendable {
    /// The model's number of the layer.
    public var layer: Int
    /// Balance with experts in order and the first ones replicated.
    public var before: Double
    /// Balance of DeepSeek's greedy balancer.
    public var greedy: Double
    /// Balance found, replicas sharing evenly.
    public var balance: Double
    /// Balance of the same slots with shares chosen for these loads.
    public var weighted: Double
    /// The balance that the lower bound on the fullest rank allows, replicas sharing evenly.
    public var bound: Double
    /// Experts with more than one slot.
    public var replicated: Int
    /// The most slots of an expert.
    public var mostReplicas: Int

    /// How far from the bound: 0 is proven best.
    public var gap: Double { bound > 0 ? max(1 - balance / bound, 0) : 0 }
  }

  /// The slots.
  public let shape: PlacementShape
  /// Over what slots were chosen.
  public let mode: ExpertBalancer.Mode
  /// The layers.
  public let layers: [Layer]
  /// Their placements.
  public let placements: [LayerPlacement]
  /// Tokens of each rank of each layer with experts in order.
  public let loadsInOrder: [[Double]]
  /// Seconds that placing all layers took; for people, never for artefacts.
  public let seconds: Double

  /// Places all layers and measures.
  public init(
    loads: ExpertLoads, shape: PlacementShape, mode: ExpertBalancer.Mode
  ) throws(PlacementError) {
    let start = now()
    let placements = try ExpertBalancer(shape: shape, mode: mode).place(loads)
    seconds = now() - start
    var layers: [Layer] = []
    let inOrder = (0..<shape.slots).map { $0 % shape.experts }
    loadsInOrder = loads.rows.map { shape.rankLoads(slots: inOrder, weights: $0) }
    for (index, placement) in placements.enumerated() {
      let weights = loads.rows[index]
      let mean = placement.mean
      func balance(_ most: Double) -> Double { most > 0 ? min(mean / most, 1) : 1 }
      let counts = placement.counts(experts: shape.experts)
      let split = try TokenSplit(shape: shape, slots: placement.slots).shares(weights: weights)
      let before = loadsInOrder[index].max() ?? 0
      layers.append(
        Layer(
          layer: loads.layers[index], before: balance(before),
          greedy: balance(placement.greedyMost), balance: placement.balance,
          weighted: balance(split.most), bound: placement.balanceBound,
          replicated: counts.reduce(0) { $0 + ($1 > 1 ? 1 : 0) },
          mostReplicas: counts.max() ?? 0))
    }
    self.shape = shape
    self.mode = mode
    self.layers = layers
    self.placements = placements
  }

  /// The mean of a column over the layers.
  public func mean(_ column: KeyPath<Layer, Double>) -> Double {
    layers.reduce(0) { $0 + $1[keyPath: column] } / Double(max(layers.count, 1))
  }

  /// A table for people.
  public var text: String {
    var table = TextTable(
      columns: [
        "layer", "before", "greedy", "ours", "weighted", "bound", "gap", "replicated", "most",
      ])
    for layer in layers {
      table.add([
        "\(layer.layer)", fixed(layer.before, 4), fixed(layer.greedy, 4), fixed(layer.balance, 4),
        fixed(layer.weighted, 4), fixed(layer.bound, 4), fixed(layer.gap * 100, 2) + " %",
        "\(layer.replicated)", "\(layer.mostReplicas)",
      ])
    }
    table.add([
      "mean", fixed(mean(\.before), 4), fixed(mean(\.greedy), 4), fixed(mean(\.balance), 4),
      fixed(mean(\.weighted), 4), fixed(mean(\.bound), 4), fixed(mean(\.gap) * 100, 2) + " %", "",
      "",
    ])
    return
      "\(shape.experts) experts in \(shape.slots) slots of \(shape.ranks) ranks, \(mode.rawValue): "
      + "mean over fullest rank\n" + table.text
      + "placed in \(fixed(seconds * 1000, 1)) ms\n"
  }

  /// The same for programs, without the time: the same input gives the same bytes.
  public var document: Document {
    .object([
      "experts": .int(shape.experts), "ranks": .int(shape.ranks),
      "slots_per_rank": .int(shape.slotsPerRank), "nodes": .int(shape.nodes),
      "groups": .int(shape.groups), "mode": .text(mode.rawValue),
      "mean": .object([
        "before": .real(mean(\.before)), "greedy": .real(mean(\.greedy)),
        "balance": .real(mean(\.balance)), "weighted": .real(mean(\.weighted)),
        "bound": .real(mean(\.bound)), "gap": .real(mean(\.gap)),
      ]),
      "layers": .list(
        layers.indices.map { index in
          let layer = layers[index]
          return .object([
            "layer": .int(layer.layer), "before": .real(layer.before),
            "greedy": .real(layer.greedy), "balance": .real(layer.balance),
            "weighted": .real(layer.weighted), "bound": .real(layer.bound),
            "gap": .real(layer.gap), "replicated": .int(layer.replicated),
            "slots": .ints(placements[index].slots),
          ])
        }),
    ])
  }
}
