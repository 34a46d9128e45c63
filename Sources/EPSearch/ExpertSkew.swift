internal import EPIR
public import EPPlacement
internal import Glibc

/// How unevenly tokens are routed, and how much of that placement can know.
public struct ExpertSkew: Hashable, Sendable {
  /// Loads that experts are placed for: a row for each layer.
  public enum Loads: Hashable, Sendable {
    /// All experts alike.
    case even
    /// A distribution, some layers of which stand for all.
    case drawn(LoadDistribution)
    /// Measured.
    case measured(ExpertLoads)
  }

  /// The loads.
  public var loads: Loads
  /// The standard deviation of the logarithm of what an expert really gets over what it was placed
  /// for: batches are samples, and topics change.
  public var drift: Double
  /// How much more the busiest rank lies above the mean than is computed; 1.2 is 20 % worse.
  public var factor: Double

  /// Makes a skew.
  public init(_ loads: Loads, drift: Double = 0) {
    self.loads = loads
    self.drift = drift
    factor = 1
  }

  /// All experts alike, always.
  public static let even = ExpertSkew(.even)

  /// What DeepSeek-V3's published balancedness comes from: lognormal loads, and batches that differ
  /// from what experts were placed for. Both numbers are fitted to the eight published ratios of
  /// mean to largest load (lm-sys blog 2025-05-05); docs/validation.md has the table.
  public static let typical = ExpertSkew(.drawn(.lognormal(sigma: 0.7)), drift: 0.2)

  /// Layers that are drawn of a distribution.
  static let drawnLayers = 6

  /// A layer that stands for others.
  public struct Layer: Hashable, Sendable {
    /// The expert in each slot, placed for what was known.
    public var slots: [Int]
    /// What experts really get.
    public var loads: [Double]
  }

  /// Layers with their placements.
  ///
  /// `isBalanced` places experts for the loads; otherwise they lie in order.
  public func layers(
    experts: Int, ranks: Int, slotsPerRank: Int, isBalanced: Bool = true
  ) throws(PlacementError) -> [Layer] {
    let shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slotsPerRank)
    let rows: ExpertLoads
    switch loads {
    case .even: rows = try ExpertLoads(rows: [Array(repeating: 1.0, count: experts)])
    case .drawn(let distribution):
      rows = try distribution.loads(
        layers: Self.drawnLayers, experts: experts, tokens: Double(experts), seed: 1)
    case .measured(let measured): rows = measured
    }
    let isEven = loads == .even && shape.slots % experts == 0
    let placed: [[Int]] =
      isBalanced && !isEven
      ? try ExpertBalancer(shape: shape, threads: 1).place(rows).map(\.slots)
      : rows.rows.map { _ in (0..<shape.slots).map { $0 % experts } }
    let layers = zip(placed, rows.rows).map { Layer(slots: $0, loads: $1) }
    return drifted(layers)
  }

  /// The layers if batches differ from their loads by this skew's drift.
  public func drifted(_ layers: [Layer]) -> [Layer] {
    if drift <= 0 { return layers }
    var random = SeededRandom(seed: 2)
    return layers.map { layer in
      var real = layer
      for expert in real.loads.indices { real.loads[expert] *= exp(drift * random.normal()) }
      return real
    }
  }

  /// Mean over largest load of ranks, over all layers: the layers' largest loads add up.
  public func balancedness(
    experts: Int, ranks: Int, slotsPerRank: Int, isBalanced: Bool = true
  ) throws(PlacementError) -> Double {
    if ranks <= 1 || experts < 1 { return 1 }
    let shape = try PlacementShape(experts: experts, ranks: ranks, slotsPerRank: slotsPerRank)
    return balancedness(
      of: try layers(
        experts: experts, ranks: ranks, slotsPerRank: slotsPerRank, isBalanced: isBalanced),
      shape)
  }

  /// The same for layers as they are.
  public func balancedness(of layers: [Layer], _ shape: PlacementShape) -> Double {
    let largest = layers.reduce(0.0) { sum, layer in
      let ranks = shape.rankLoads(slots: layer.slots, weights: layer.loads)
      let mean = ranks.reduce(0, +) / Double(max(ranks.count, 1))
      return sum + (mean > 0 ? (ranks.max() ?? 0) / mean : 1)
    }
    let ratio = largest / Double(max(layers.count, 1))
    return 1 / (1 + factor * (max(ratio, 1) - 1))
  }
}
