/// What more redundant experts buy: one row for each number of slots a rank can afford, and the best
/// number for each layer.
public struct ReplicaBudget: Hashable, Sendable {
  /// One number of slots, the same in all layers.
  public struct Row: Hashable, Sendable {
    /// Slots of a rank for each layer.
    public var slotsPerRank: Int
    /// Slots beyond one for each expert.
    public var redundant: Int
    /// Bytes of experts a rank holds, all layers together.
    public var bytesPerRank: Int
    /// Mean balance of the layers.
    public var balance: Double
    /// The mean of what the bounds allow.
    public var balanceBound: Double
    /// Balance gained over the row before, for each GiB a rank spends on it.
    public var gainPerGiB: Double
  }

  /// One layer's own number of slots.
  public struct Layer: Hashable, Sendable {
    /// The model's number of the layer.
    public var layer: Int
    /// Slots of a rank.
    public var slotsPerRank: Int
    /// The layer's balance.
    public var balance: Double
    /// What the last slots taken brought: balance of this layer for each GiB a rank spends on it.
    public var lastGainPerGiB: Double
    /// What more slots would bring, 0 where none were tried.
    public var nextGainPerGiB: Double
  }

  /// The rows, from fewest slots to most.
  public private(set) var rows: [Row]
  /// The row whose further slots gain less than the threshold.
  public private(set) var chosen: Int
  /// The layers, each with its own number of slots within the same memory: what would be best if
  /// layers could differ, which engines and plans of one function do not let them.
  public private(set) var layers: [Layer]
  /// Bytes of experts a rank holds with those.
  public private(set) var layersBytesPerRank: Int

  /// Places for every number of slots that fits in `bytesPerRank`, at most `maxRows` of them.
  ///
  /// Chosen is the row with the fewest slots within `tolerance` of the best balance.
  public init(
    loads: ExpertLoads, ranks: Int, expertBytes: Int, bytesPerRank: Int, tolerance: Double = 0.01,
    maxRows: Int = 16
  ) throws(PlacementError) {
    guard (1...PlacementShape.most).contains(ranks) && expertBytes > 0 && maxRows > 0 else {
      throw .shape("ranks are from 1 to 2^20, bytes of an expert and rows positive")
    }
    let experts = loads.experts
    let layerBytes = loads.rows.count * expertBytes
    let least = (experts + ranks - 1) / ranks
    let most = min(bytesPerRank / max(layerBytes, 1), experts, least + maxRows - 1)
    guard most >= least else {
      throw .shape(
        "\(least) slots a rank for \(experts) experts on \(ranks) ranks take "
          + "\(gibibytes(least * layerBytes)) GiB a rank, above the \(gibibytes(bytesPerRank)) "
          + "allowed")
    }
    rows = []
    var balances: [[Double]] = []
    // Layers of their own may take more slots than fit in all of them.
    for slots in least...min(experts, max(most, least + 1)) {
      let shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slots)
      let placed = try ExpertBalancer(shape: shape).place(loads)
      balances.append(placed.map(\.balance))
      if slots > most { break }
      let count = Double(placed.count)
      let balance = placed.reduce(0) { $0 + $1.balance } / count
      let before = rows.last?.balance ?? balance
      rows.append(
        Row(
          slotsPerRank: slots, redundant: shape.redundant, bytesPerRank: slots * layerBytes,
          balance: balance,
          balanceBound: placed.reduce(0) { $0 + $1.balanceBound } / count,
          gainPerGiB: (balance - before) / (Double(layerBytes) / 0x1p30)))
      // Nothing is left to gain.
      if balance > 1 - tolerance / 4 { break }
    }
    let best = rows.reduce(0) { max($0, $1.balance) }
    chosen = rows.firstIndex { $0.balance >= best - tolerance } ?? 0
    layers = []
    layersBytesPerRank = 0
    spend(
      rows[chosen].slotsPerRank * loads.rows.count, balances, loads.layers, least, expertBytes)
  }

  /// Gives slots to layers one step at a time, the step that shortens a step of the model most for
  /// its memory first: a layer takes as long as its fullest rank, one over its balance.
  private mutating func spend(
    _ all: Int, _ balances: [[Double]], _ numbers: [Int], _ least: Int, _ expertBytes: Int
  ) {
    let gibibytes = Double(expertBytes) / 0x1p30
    var taken = Array(repeating: 0, count: numbers.count)
    var from = taken
    var left = all - least * numbers.count
    /// The best further step of a layer: more slots may pay where one more does not.
    func next(_ layer: Int, within room: Int) -> (steps: Int, value: Double) {
      var best = (steps: 0, value: 1e-9)
      let now = 1 / balances[taken[layer]][layer]
      for steps in 1..<max(min(room + 1, balances.count - taken[layer]), 1) {
        let value = (now - 1 / balances[taken[layer] + steps][layer]) / Double(steps)
        if value > best.value { best = (steps, value) }
      }
      return best
    }
    while left > 0 {
      var best = (steps: 0, value: 0.0, layer: -1)
      for layer in numbers.indices {
        let step = next(layer, within: left)
        if step.steps > 0 && step.value > best.value { best = (step.steps, step.value, layer) }
      }
      if best.layer < 0 { break }
      from[best.layer] = taken[best.layer]
      taken[best.layer] += best.steps
      left -= best.steps
    }
    for (index, number) in numbers.enumerated() {
      let (now, before) = (taken[index], from[index])
      let further = next(index, within: .max - 1)
      func gain(_ a: Int, _ b: Int) -> Double {
        a == b ? 0 : (balances[b][index] - balances[a][index]) / (Double(b - a) * gibibytes)
      }
      layers.append(
        Layer(
          layer: number, slotsPerRank: least + now, balance: balances[now][index],
          lastGainPerGiB: gain(before, now), nextGainPerGiB: gain(now, now + further.steps)))
      layersBytesPerRank += (least + now) * expertBytes
    }
  }
}
