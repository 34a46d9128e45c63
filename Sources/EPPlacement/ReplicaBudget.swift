/// What more redundant experts buy: one row for each number of slots a rank can afford.
public struct ReplicaBudget: Hashable, Sendable {
  /// One number of slots.
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

  /// The rows, from fewest slots to most.
  public var rows: [Row]
  /// The row whose further slots gain less than the threshold.
  public var chosen: Int

  /// Places for every number of slots that fits in `bytesPerRank`, at most `maxRows` of them.
  ///
  /// Chosen is the row with the fewest slots within `tolerance` of the best balance.
  public init(
    loads: ExpertLoads, ranks: Int, expertBytes: Int, bytesPerRank: Int, tolerance: Double = 0.01,
    maxRows: Int = 16
  ) throws(PlacementError) {
    guard ranks > 0 && expertBytes > 0 && maxRows > 0 else {
      throw .shape("ranks, bytes of an expert and rows must be positive")
    }
    let experts = loads.experts
    let layerBytes = loads.rows.count * expertBytes
    let least = (experts + ranks - 1) / ranks
    let most = min(bytesPerRank / max(layerBytes, 1), experts, least + maxRows - 1)
    guard most >= least else {
      throw .shape(
        "\(least) slots a rank for \(experts) experts on \(ranks) ranks take "
          + "\(least * layerBytes) bytes, above the \(bytesPerRank) allowed")
    }
    rows = []
    for slots in least...most {
      let shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slots)
      let placed = try ExpertBalancer(shape: shape).place(loads)
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
  }
}
